"""The leaderboard shows the submissions of the repository, all of which hold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from leaderboard import page

from tests.helpers.submissions import in_record


def test_the_page_is_that_of_the_submissions() -> None:
    """Each is verified on the way."""
    rows = page.verified_rows()
    assert len(rows) >= 10
    assert page.page([*rows, *page.published_rows()]) == page.PAGE.read_text()


def test_a_submission_that_does_not_hold_is_not_shown(tmp_path: Path) -> None:
    name = "mnist-columns2"
    shutil.copytree(page.HERE / "submissions" / name, tmp_path / name)
    (row,) = page.verified_rows(tmp_path)
    assert row.cells["verified"] == "yes"
    in_record("pairwise-patch5", accuracy=0.99)(tmp_path / name)
    with pytest.raises(SystemExit, match=r"mnist-columns2 is refused: .* accuracy is 0\.99"):
        page.verified_rows(tmp_path)


def test_ranks_are_by_median_then_accuracy() -> None:
    rows = page.published_rows()
    assert all(row.cells["verified"] == "no" for row in rows)
    first = replace(rows[0], median=8, accuracy=0.9)
    second = replace(rows[0], median=8, accuracy=None)
    third = replace(rows[0], median=7, accuracy=0.99)
    assert sorted([third, first, second], key=lambda row: row.rank) == [third, second, first]
    text = page.page([replace(third, name="a"), replace(second, name="b")])
    assert text.index("| b |") < text.index("| a |")
