"""Ctrl-C and SIGTERM: what is finished is stored, a sentence says how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.commands import parts, run
from tests.helpers.internals import STORE_AT_ONCE

# Tests may run in the background of a shell, which has it ignored.
HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def stop_when(ready: Callable[[], bool], number: signal.Signals, *words: object) -> tuple[int, str]:
    """Exit status and last line of a command that gets a signal as soon as it is `ready`."""
    script = f"{HEED_CTRL_C}{STORE_AT_ONCE}\nfrom sparsecert.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, "it ended before it was ready"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    return process.returncode, error.strip().splitlines()[-1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_goes_on(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    folder = tmp_path / "run"
    words = ["train", "--data", "digits", "--retained", 12, "--epochs", 60, "--out", folder]
    found = stop_when((folder / "train.jsonl").exists, number, *words)
    assert found == (status, "stopped; repeat the command to go on")
    assert (folder / "checkpoint.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    run(*words)
    assert (folder / "model.safetensors").exists()


def test_votes_of_a_stopped_certification_are_kept(folder: Path) -> None:
    words = ["certify", folder, "--limit", 200]
    found = stop_when(lambda: len(parts(folder)) > 2, signal.SIGTERM, *words)
    assert found == (143, "stopped; repeat the command to go on")
    assert parts(folder)
