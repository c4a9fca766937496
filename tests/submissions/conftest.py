"""Submissions that tests share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.commands import run
from tests.helpers.submissions import RECORDS, WORDS, submit


@pytest.fixture(scope="session")
def submissions(
    digits_run: Path, family_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One of each kind; not to be changed."""
    made = {}
    for kind in WORDS:
        place = tmp_path_factory.mktemp(kind)
        trained = family_run if kind == "family" else digits_run
        made[kind] = submit(Path(shutil.copytree(trained, place / "run")), kind, place)
    return made


@pytest.fixture(scope="session")
def with_weights(submissions: dict[str, Path]) -> dict[str, Path]:
    """The same with weights; not to be changed."""
    made = {}
    for kind, plain in submissions.items():
        place = plain.parent
        made[kind] = place / "with-weights"
        records = [place / f"{name}.json" for name in RECORDS[kind]]
        run("submission", place / "run", *records, "--weights", "--out", made[kind])
    return made
