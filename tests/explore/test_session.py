"""An input that is certified, changed, attacked, and asked about again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsecert.data import FeatureRange
from sparsecert.errors import InputError
from sparsecert.explore.session import NUM_SELECTION, Session, Settings
from sparsecert.explore.subject import Subject
from sparsecert.explore.table import Table
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import Fails, train


@pytest.mark.parametrize("rule", ["majority", "margin", "pairwise"])
def test_the_certificate_is_that_of_the_classifier(digits: Subject, rule: str) -> None:
    image, _ = digits.input(1)
    found = Session(digits, image, Settings(10, 300, 0.01, rule)).certificate
    assert found is not None
    again = digits.classifier(10).certify(
        image[None], NUM_SELECTION, 300, 0.01, found.seed, rule, sampling="sequential"
    )
    assert (found.label, found.radius) == (int(again.label[0]), int(again.radius[0]))
    assert found.ballots == NUM_SELECTION + int(again.num_samples[0])


def test_every_certificate_draws_afresh(digits: Subject) -> None:
    image, _ = digits.input(1)
    sessions = [Session(digits, image, Settings(12, 100)) for _ in range(2)]
    seeds = {session.certificate.seed for session in sessions if session.certificate is not None}
    assert len(seeds) == 2
    assert not torch.equal(sessions[0].pool.masks, sessions[1].pool.masks)


def test_changes_are_counted_against_the_original(session: Session) -> None:
    votes = session.pool.tally.first_choice
    session.change({0: [1.0], 9: [0.5], 20: session.original.flatten()[20:21].tolist()})
    assert session.num_changed == 2
    assert session.changes == {0: [1.0], 9: [0.5]}
    assert float(session.image[0, 1, 1]) == 0.5
    session.change({9: [0.5]})
    assert session.changes == {9: [0.5]}
    session.change({})
    assert torch.equal(session.image, session.original)
    assert np.array_equal(session.pool.tally.first_choice, votes)


def test_painting_it_all_flips_the_vote(session: Session, digits: Subject) -> None:
    others = (digits.input(index) for index in range(99))
    other = next(image for image, true_class in others if true_class != session.true_class)
    session.change({entry: [value] for entry, value in enumerate(other.flatten().tolist())})
    assert session.flipped
    session.change({})
    assert not session.flipped


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({64: [0.5]}, "expected changes of entries from 0 to 63"),
        ({0: [0.5, 0.5]}, "with 1 values each, got 2 values for 0"),
        ({0: ["white"]}, "expected numbers as values of entry 0"),
        ({0: [math.nan]}, "expected finite pixels"),
        ({0: [1.5]}, r"expected values in \[0, 1\]"),
    ],
)
def test_bad_changes_are_refused(
    session: Session, changes: dict[int, list[float]], sentence: str, unchecked: None
) -> None:
    session.change({5: [1.0]})
    with pytest.raises(InputError, match=sentence):
        session.change(changes)
    assert session.num_changed == 1  # as it was


def test_units_and_what_is_protected(tmp_path: Path) -> None:
    words = ["--units", "patch:2", "--protect", "0-7", "--retained", 4, "--epochs", 1]
    subject = Subject(RunFolder.open(train(tmp_path / "run", *words)))
    session = Session(subject, subject.input(0)[0], Settings(4, 100))
    assert session.locked == list(range(8))
    session.change({16: [0.9], 17: [0.9], 24: [0.9], 18: [0.9]})
    assert session.num_changed == 2
    assert subject.counted(2) == "2 units"
    with pytest.raises(InputError, match="entry 3 is protected"):
        session.change({3: [1.0]})


def test_greedy_goes_on_until_the_vote_flips(session: Session) -> None:
    steps = [(session.num_changed, session.flipped) for _ in session.greedy()]
    sizes, flipped = zip(*steps, strict=True)
    assert sizes == tuple(range(1, len(steps) + 1))
    assert flipped == (False,) * (len(steps) - 1) + (True,)
    assert session.certificate is not None
    assert len(steps) > session.certificate.radius


def test_greedy_begins_at_the_original_and_can_be_stopped(session: Session) -> None:
    session.change({entry: [0.3] for entry in range(20)})
    steps = session.greedy()
    next(steps)
    assert session.num_changed == 1
    session.stop()
    assert list(steps) == []
    assert session.num_changed == 1


def test_a_drawing_is_certified_when_it_is_finished(digits: Subject) -> None:
    drawing = Session(digits, digits.blank(), Settings(12, 100), certified=False)
    assert drawing.certificate is None
    assert not drawing.flipped
    with pytest.raises(InputError, match="expected an image that is certified"):
        next(drawing.greedy())
    drawing.change({entry: [1.0] for entry in (11, 19, 27, 35, 43)})
    finished = drawing.finished(Settings(12, 200))
    assert finished.certificate is not None
    assert finished.num_changed == 0
    assert torch.equal(finished.original, drawing.image)


def test_other_settings_keep_what_was_changed(session: Session) -> None:
    session.change({0: [1.0], 1: [1.0]})
    other = session.with_settings(replace(session.settings, num_retained=20, rule="pairwise"))
    assert other.number != session.number
    assert other.changes == session.changes
    assert int(other.pool.masks[0].sum()) == 20
    assert other.true_class == session.true_class


def test_fresh_ablations_answer_about_the_version(session: Session) -> None:
    assert session.fresh is None
    session.ask_afresh()
    assert session.fresh is not None
    assert session.fresh.label in (session.vote, -1)
    session.change({0: [1.0]})
    assert session.fresh is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(0), "retain"),
        (Settings(12, 0), "num_samples"),
        (Settings(12, 100, 0.0), "alpha"),
        (Settings(12, 100, 0.05, "plurality"), "expected rule"),
    ],
)
def test_settings_out_of_range_are_refused(
    digits: Subject, settings: Settings, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        Session(digits, digits.blank(), settings)


def test_inputs_have_numbers(digits: Subject) -> None:
    with pytest.raises(InputError, match="expected the number of a test image from 0 to 449"):
        digits.input(450)


def test_other_designs_are_refused(family_run: Path, fails: Fails) -> None:
    fails("expected a run with random ablations", "explore", family_run)


def test_cells_are_read_as_training_data_was(rows: Subject) -> None:
    table, row = rows.table, rows.input(0)[0]
    assert table.names[0] == "mean radius"
    again = [table.shares(column, [value]) for column, value in enumerate(table.values(row))]
    assert np.allclose(np.array(again)[:, 0], row.numpy(), atol=1e-5)
    session = Session(rows, row, Settings(8, 100))
    session.change({3: [math.nan], 7: [1.0]})
    assert rows.counted(session.num_changed) == "2 columns"
    assert table.values(session.image)[3] is None


def test_values_of_cells() -> None:
    table = Table(FeatureRange((10.0, 3.0), (20.0, 3.0), ("height", "constant")))
    assert table.shares(0, [12.5]) == [0.25]
    assert table.shares(0, [-1e9]) == [0.0]
    assert table.shares(0, [25]) == [1.0]
    assert math.isnan(table.shares(0, [None])[0])
    assert table.values(torch.tensor([0.25, torch.nan])) == [12.5, None]
    assert table.ranges() == ["10 to 20", "3 to 3"]
    for column, values, sentence in (
        (0, ["tall"], "expected a number for height, got 'tall'"),
        (0, [math.inf], "expected a number for height, got inf"),
        (2, [1.0], "expected one value for a column from 0 to 1"),
        (1, [], "expected one value"),
    ):
        with pytest.raises(InputError, match=sentence):
            table.shares(column, values)
