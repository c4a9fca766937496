"""Runs as the hands-on page has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsecert.explore.session import Session, Settings
from sparsecert.explore.subject import Subject
from sparsecert.runs.folder import RunFolder


@pytest.fixture(scope="session")
def digits(digits_run: Path) -> Subject:
    return Subject(RunFolder.open(digits_run))


@pytest.fixture(scope="session")
def rows(rows_run: Path) -> Subject:
    return Subject(RunFolder.open(rows_run))


@pytest.fixture
def session(digits: Subject) -> Session:
    """A digit, nothing changed yet."""
    image, true_class = digits.input(3)
    return Session(digits, image, Settings(12, 300), true_class)
