"""Several processes that certify one folder at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.commands import SMALL, comparable, parts, run
from tests.helpers.internals import STORE_AT_ONCE

CERTIFY = f"{STORE_AT_ONCE}\nfrom sparsecert.cli import main; main()"
AT_ONCE = 6


@pytest.mark.parametrize(
    "processes",
    [4, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3_000)])],
)
def test_processes_that_certify_one_folder_at_once_do_not_disturb_one_another(
    processes: int, folder: Path
) -> None:
    """Each stores image by image and merges what is there."""
    words = ["certify", str(folder), *map(str, SMALL), "--limit", "40"]

    def certify(number: int) -> str:
        if number % 10 == 5:  # so that there is something to count in the later ones too
            for path in parts(folder)[:1]:
                path.unlink(missing_ok=True)
        ended = subprocess.run(
            [sys.executable, "-c", CERTIFY, *words], capture_output=True, text=True, check=False
        )
        return "" if ended.returncode == 0 else ended.stderr

    with ThreadPoolExecutor(AT_ONCE) as pool:
        errors = [error for error in pool.map(certify, range(processes)) if error]
    assert not errors
    together = comparable(folder)
    run(*words)
    assert len(parts(folder)) == 2
    for part in parts(folder):
        part.unlink()
    run(*words)
    assert comparable(folder) == together
