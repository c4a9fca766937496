"""The leaderboard shows the submissions of the repository, all of which hold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from leaderboard import page

from sparsecert import data
from sparsecert.submissions.verify import verify
from tests.helpers.submissions import in_record


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets take a second each to read."""
    monkeypatch.delenv("SPARSECERT_DATA", raising=False)


@pytest.mark.usefixtures("no_data")
def test_the_page_is_that_of_the_submissions() -> None:
    """Each is verified on the way."""
    rows = page.verified_rows()
    assert len(rows) >= 10
    assert page.page([*rows, *page.published_rows()]) == page.PAGE.read_text()


@pytest.mark.slow
def test_the_labels_of_submissions_are_those_of_the_data_sets() -> None:
    if not (data.is_at_hand("mnist") and data.is_at_hand("cifar10")):
        pytest.skip("set SPARSECERT_DATA to a folder with mnist/ and cifar10/")
    for path in (page.HERE / "submissions").iterdir():
        verdict = verify(path)
        assert verdict.verified, verdict.reasons
        assert not any("labels" in words for words in verdict.unchecked)


@pytest.mark.usefixtures("no_data")
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
