"""Many classes: each input tracks a few, and rankings are counted for these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.smoothing.shortlist import NUM_BALLOTS
from sparsecert.streams import Stage
from sparsecert.theory.schedule import growing_looks
from sparsecert.votes.rankings import count_pairs, count_tracked
from sparsecert.votes.tracked_classes import NO_CLASS, most_often_first, track_nothing
from tests.helpers.classifiers import images, tied_logits, weighing
from tests.helpers.internals import few_are_many
from tests.helpers.votes import (
    SAMPLINGS,
    all_looks_at,
    assert_same_votes,
    at,
    counted,
    pairs_of,
    stopped_after,
)

N, CLASSES = 600, 5
ABLATION = sc.UniformAblation(16, 2)


def smoothed(limit: int | None = None) -> sc.SmoothedClassifier:
    return weighing(CLASSES, limit=limit)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five classes are many, and two of them a shortlist."""
    few_are_many(monkeypatch, tracked=2)


def rows_of(pairs: NDArray[np.int64], tracked: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of these classes among counts of all: `(..., T, classes)`."""
    return np.take_along_axis(pairs, tracked[:, :, None], axis=1)


def test_tracked_rows_are_those_of_all_pairs_with_ties_and_infinities() -> None:
    logits = tied_logits(300, 6)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(np.sort(rng.integers(0, 4, 300)))
    tracked = np.stack([rng.permutation(6)[:3] for _ in range(4)])
    expected = rows_of(count_pairs(logits, rows, 4).numpy(), tracked)
    np.testing.assert_array_equal(count_tracked(logits, rows, torch.from_numpy(tracked)), expected)
    tracked[1, 2] = NO_CLASS
    expected[1, 2] = 0
    np.testing.assert_array_equal(count_tracked(logits, rows, torch.from_numpy(tracked)), expected)


def test_the_most_often_first_and_ties_to_the_smaller_index() -> None:
    counts = np.array([[3, 5, 3, 0, 5], [0, 0, 0, 0, 9], [2, 2, 2, 2, 2]])
    assert most_often_first(counts, 3).tolist() == [[1, 4, 0], [4, 0, 1], [0, 1, 2]]
    assert most_often_first(counts, 8).shape == (3, 5)


def test_few_classes_need_no_shortlist() -> None:
    assert smoothed().tally(images(), 20, Stage.ESTIMATION, seed=0).tracked_classes is None


@pytest.mark.parametrize("limit", [37, None])
def test_a_tally_counts_the_rows_of_its_shortlist(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images()
    whole = smoothed().tally(x, N, Stage.ESTIMATION, seed=3)
    short = smoothed().tally(x, NUM_BALLOTS, Stage.SHORTLIST, seed=3)
    few_are_many(monkeypatch, tracked=2)
    found = smoothed(limit).tally(x, N, Stage.ESTIMATION, seed=3)
    assert found.tracked_classes is not None
    np.testing.assert_array_equal(found.tracked_classes, most_often_first(short.first_choice, 2))
    np.testing.assert_array_equal(found.first_choice, whole.first_choice)
    np.testing.assert_array_equal(
        found.head_to_head, rows_of(pairs_of(whole), found.tracked_classes)
    )
    is_tracked = (found.tracked_classes[:, :, None] == np.arange(CLASSES)).any(axis=1)
    expected = np.where(is_tracked, whole.min_pairwise_wins, whole.first_choice)
    np.testing.assert_array_equal(found.min_pairwise_wins, expected)


@pytest.mark.usefixtures("many")
def test_a_shortlist_is_a_matter_of_seed_and_index() -> None:
    x, order = images(), [4, 1, 5, 0, 3, 2]
    together = smoothed().tally(x, 20, Stage.SELECTION, 7).tracked_classes
    shuffled = smoothed(11).tally(x[order], 20, Stage.SELECTION, 7, order).tracked_classes
    assert together is not None
    assert shuffled is not None
    np.testing.assert_array_equal(shuffled, together[order])
    for stage in (Stage.SELECTION, Stage.ESTIMATION, Stage.PREDICTION):
        np.testing.assert_array_equal(smoothed().tally(x, 20, stage, 7).tracked_classes, together)
    looks = counted("sequential", smoothed(), x, N, seed=7)
    np.testing.assert_array_equal(looks.tracked_classes, together)


@pytest.mark.usefixtures("many")
def test_none_tracked_counts_first_choices_only() -> None:
    tally = smoothed().tally(images(), 50, Stage.EVALUATION, tracked=track_nothing(6), seed=0)
    assert (tally.head_to_head, tally.tracked_classes) == (None, None)
    with pytest.raises(sc.InputError, match="different tracked classes"):
        smoothed().tally(
            images(), 50, Stage.ESTIMATION, tracked=np.zeros((6, 2), dtype=np.int64), seed=0
        )


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_radii_lie_between_majority_and_all_pairs(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images(60, seed=8)
    looks = counted("sequential", smoothed(), x, N)
    label = smoothed().certify(x, 100, 5, rule="pairwise", seed=0).label
    whole = all_looks_at(looks)
    tally: Any = whole if sampling == "fixed" else looks

    def radius(tally: Any, rule: str = "pairwise") -> NDArray[np.int64]:
        found: NDArray[np.int64] = sc.certify_tally(tally, label, ABLATION, 0.05, rule).radius
        return found

    every, majority, radii = radius(tally), radius(tally, "majority"), {}
    few_are_many(monkeypatch)
    for size in (5, 2, 1):
        lists = most_often_first(whole.first_choice, size)
        if sampling == "fixed":
            some = sc.Tally(whole.first_choice, rows_of(pairs_of(whole), lists), lists)
            radii[size] = radius(some)
        else:
            rows = np.take_along_axis(pairs_of(looks), lists[:, None, :, None], axis=2)
            part = sc.Tally(looks.first_choice, rows, lists, looks.looks)
            radii[size] = radius(part)
            for look in range(len(growing_looks(N))):
                wins = at(part, look).min_pairwise_wins
                np.testing.assert_array_equal(part.min_pairwise_wins[:, look], wins)
                own = np.take_along_axis(wins, label[:, None], axis=1)[:, 0]
                np.testing.assert_array_equal(part.wins_of(label)[:, look].min(axis=1), own)
    np.testing.assert_array_equal(radii[5], every)
    assert (radii[2] <= every).all()
    assert (radii[1] <= radii[2]).all()
    assert (radii[1] >= majority).all()
    assert (radii[2] > majority).sum() > 5
    assert sampling == "sequential" or (radii[1] < radii[2]).any()


@pytest.mark.usefixtures("many")
def test_counting_goes_on_with_the_same_classes_and_old_counts_track_none() -> None:
    x, rows = images(), np.arange(6)
    whole = counted("sequential", smoothed(), x, N)
    half, blank = (
        stopped_after(whole, 2).take(rows[:4]),
        sc.Tally.empty(growing_looks(N), 1, CLASSES),
    )

    def gone_on_with(begun: sc.Tally) -> Any:
        before = sc.Tally.concatenate([begun, blank, blank])
        return counted("sequential", smoothed(), x, N, before=before)

    assert whole.tracked_classes is not None
    assert_same_votes(gone_on_with(half), whole)
    mixed = gone_on_with(sc.Tally(half.first_choice, looks=half.looks))
    assert (mixed.tracked_classes[:4] == NO_CLASS).all()
    np.testing.assert_array_equal(mixed.first_choice, whole.first_choice)
    np.testing.assert_array_equal(mixed.head_to_head[4:], pairs_of(whole)[4:])
    np.testing.assert_array_equal(mixed.min_pairwise_wins[:4], whole.first_choice[:4])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_pairwise_certifies_more_than_majority_with_forty_classes(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes against the class are spread over the others."""
    x, n = images(24, seed=5), 500
    classifier = weighing(40)
    pairwise, majority = (
        classifier.certify(x, 100, n, rule=rule, sampling=sampling, seed=0)
        for rule in ("pairwise", "majority")
    )
    both = majority.radius >= 0
    assert (pairwise.radius[both] >= 0).all()
    assert (pairwise.radius > majority.radius).sum() > 6
    assert pairwise.radius.mean() > majority.radius.mean() + 0.2
    named = classifier.predict(x, n, rule="pairwise", sampling=sampling, seed=0).label
    both = (pairwise.radius >= 0) & (named >= 0)
    assert both.sum() > 3
    np.testing.assert_array_equal(named[both], pairwise.label[both])
    few_are_many(monkeypatch, most=64)
    every = classifier.predict(x, n, rule="pairwise", sampling=sampling, seed=0).label
    np.testing.assert_array_equal(named[named >= 0], every[named >= 0])
