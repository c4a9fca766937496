"""Commands as a user types them, and what they leave in a run folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsecert import cli
from sparsecert.runs.folder import RunFolder

Fails = Callable[..., str]
Output = Callable[[], str]

# Votes enough for every rule to certify some of the digits.
SMALL = ["--num-selection", 40, "--num-samples", 200]
# Ballots that a small attack asks for, one that compares images by ballots or follows gradients.
PROBE = ["--num-samples", 300, "--num-search", 150]
GRADIENTS = ["--num-samples", 300, "--num-gradient", 32]


def run(*words: object) -> None:
    cli.main([str(word) for word in words])


def train(path: Path, *words: object) -> Path:
    """Train on digits; returns the run folder."""
    run("train", "--data", "digits", *words, "--out", path)
    return path


def read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def record(folder: Path, name: str = "record.json") -> dict[str, Any]:
    """A record of the run."""
    return read_json(folder / name)


def comparable(folder: Path, name: str = "record.json") -> dict[str, Any]:
    """The record without what differs between two runs of one command."""
    return {k: v for k, v in record(folder, name).items() if k not in ("seconds", "command")}


def log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a training log."""
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def report(folder: Path) -> str:
    """Write the run's page, and return it."""
    run("report", folder)
    return RunFolder(folder).report_path.read_text()


def parts(folder: Path, pattern: str = "*.parquet") -> list[Path]:
    """The files that hold a run's votes."""
    return sorted(RunFolder(folder).tallies_path.glob(pattern))


def printed_by(*arguments: object) -> str:
    """What Python prints in a process of its own."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kill_when(ready: Callable[[], bool], *words: object, first: str = "") -> None:
    """Run a command in a process of its own and end it with SIGKILL as soon as it is `ready`.

    Args:
        ready: whether the command is far enough, asked every few milliseconds.
        words: the command.
        first: statements to run before the command, such as those of `internals`.
    """
    script = f"{first}\nfrom sparsecert.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, words)]
    deadline = time.monotonic() + 200
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not ready():
                assert process.poll() is None, "the command ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.005)
        finally:
            process.send_signal(signal.SIGKILL)
