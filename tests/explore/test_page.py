"""What the page does with what a browser sends, whatever that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sparsecert.explore.session import Session, Settings
from sparsecert.explore.subject import Subject

pytest.importorskip("gradio", reason="there is no gradio: install requirements-dev.lock")

Change = Callable[[Session | None, Any], tuple[Any, ...]]


@pytest.fixture
def change() -> Change:
    from sparsecert.explore.page import _change

    return _change


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (None, "expected changes as entries and their values, got None"),
        ([["0", 1]], "expected changes as entries and their values"),
        ([[]], "expected changes as entries and their values"),
        ([[64, 0.5]], "expected changes of entries from 0 to 63"),
        ([[0, 2.0]], "expected values in [0, 1]"),
        ([[0, "<b>"]], "expected numbers as values of entry 0, got [&#39;&lt;b&gt;&#39;]"),
    ],
)
def test_what_no_board_sends_is_told(
    session: Session, change: Change, changes: Any, sentence: str, unchecked: None
) -> None:
    *_, problem = change(session, {"number": session.number, "changes": changes})
    assert sentence in problem
    assert session.num_changed == 0


def test_changes_are_taken_and_late_ones_passed_over(session: Session, change: Change) -> None:
    kept, *_, problem = change(session, {"number": session.number, "changes": [[0, 0.5]]})
    assert kept is session
    assert problem == ""
    assert session.changes == {0: [0.5]}
    change(session, {"number": session.number - 1, "changes": []})
    assert session.changes == {0: [0.5]}
    *_, problem = change(None, {})
    assert "left alone for too long" in problem


def test_cells_are_numbers(rows: Subject, change: Change) -> None:
    session = Session(rows, rows.input(0)[0], Settings(8, 100))
    *_, problem = change(session, {"number": session.number, "changes": [[2, "much"]]})
    assert "expected a number for mean perimeter" in problem
    change(session, {"number": session.number, "changes": [[2, None], [3, 1000.0]]})
    assert session.num_changed == 2
