"""Many classes: each input follows a few, and rankings are counted for these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import sparsecert as sc
from sparsecert.sequential_certification import certify_looks
from sparsecert.smoothing.sequential import tally_looks
from sparsecert.smoothing.shortlist import MOST_FOLLOWED, NUM_BALLOTS, shortlist
from sparsecert.streams import Stage
from sparsecert.theory.sequential import look_schedule
from sparsecert.votes.look_store import LookSettings, LookStore
from sparsecert.votes.look_tally import MOST_FOLLOWED_AT_LOOKS, LookTally
from sparsecert.votes.rankings import count_followed, count_pairs
from sparsecert.votes.store import Stored
from sparsecert.votes.tally_store import TallySettings, TallyStore
from sparsecert.votes.tracked_classes import NOBODY, most_often_first, nobody
from tests.smoothing.test_sampled import images

D, K, N, CLASSES = 16, 2, 600, 5
ABLATION = sc.UniformAblation(D, K)


class Weighing(nn.Module):
    """Weighs retained pixels; with few of them each class is first now and then."""

    def __init__(self, num_classes: int = CLASSES, features: int = D) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.weights = torch.randn(features, num_classes, generator=generator)
        self.bias = 0.4 * torch.randn(num_classes, generator=generator)

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        value, complement = encoded.flatten(2).unbind(dim=1)
        return (value - complement) @ self.weights + self.bias


def smoothed(limit: int | None = None, num_classes: int = CLASSES) -> sc.SmoothedClassifier:
    return sc.SmoothedClassifier(
        Weighing(num_classes), ABLATION, num_classes, ballots_per_pass=limit
    )


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five classes are many, and two of them a shortlist."""
    monkeypatch.setattr("sparsecert.votes.tally.MOST_CLASSES_HEAD_TO_HEAD", 3)
    monkeypatch.setattr("sparsecert.smoothing.shortlist.MOST_FOLLOWED", 2)


def rows_of(pairs: NDArray[np.int64], followed: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of these classes among counts of all: `(..., F, classes)`."""
    return np.take_along_axis(pairs, followed[:, :, None], axis=1)


def test_followed_rows_are_those_of_all_pairs_with_ties_and_infinities() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 2.0, torch.inf])
    logits = values[torch.randint(len(values), (300, 6), generator=generator)]
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, 4, 300))
    followed = np.stack([rng.permutation(6)[:3] for _ in range(4)])
    expected = rows_of(count_pairs(logits, rows, 4), followed)
    np.testing.assert_array_equal(count_followed(logits, rows, followed), expected)
    followed[1, 2] = NOBODY
    expected[1, 2] = 0
    np.testing.assert_array_equal(count_followed(logits, rows, followed), expected)


def test_the_most_often_first_and_ties_to_the_smaller_index() -> None:
    counts = np.array([[3, 5, 3, 0, 5], [0, 0, 0, 0, 9], [2, 2, 2, 2, 2]])
    assert most_often_first(counts, 3).tolist() == [[1, 4, 0], [4, 0, 1], [0, 1, 2]]
    assert most_often_first(counts, 8).shape == (3, 5)


def test_few_classes_need_no_shortlist() -> None:
    assert shortlist(smoothed(), images()) is None


@pytest.mark.parametrize("limit", [37, None])
def test_a_tally_counts_the_rows_of_its_shortlist(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images()
    whole = smoothed().tally(x, N, Stage.ESTIMATION, seed=3)
    short = smoothed().tally(x, NUM_BALLOTS, Stage.SHORTLIST, seed=3)
    monkeypatch.setattr("sparsecert.votes.tally.MOST_CLASSES_HEAD_TO_HEAD", 3)
    monkeypatch.setattr("sparsecert.smoothing.shortlist.MOST_FOLLOWED", 2)
    found = smoothed(limit).tally(x, N, Stage.ESTIMATION, seed=3)
    assert found.followed is not None
    assert whole.head_to_head is not None
    np.testing.assert_array_equal(found.followed, most_often_first(short.first_choice, 2))
    np.testing.assert_array_equal(found.first_choice, whole.first_choice)
    np.testing.assert_array_equal(found.head_to_head, rows_of(whole.head_to_head, found.followed))
    is_followed = (found.followed[:, :, None] == np.arange(CLASSES)).any(axis=1)
    expected = np.where(is_followed, whole.fewest_wins, whole.first_choice)
    np.testing.assert_array_equal(found.fewest_wins, expected)


@pytest.mark.usefixtures("many")
def test_a_shortlist_is_a_matter_of_seed_and_index() -> None:
    x, order = images(), [4, 1, 5, 0, 3, 2]
    together = shortlist(smoothed(), x, 7)
    shuffled = shortlist(smoothed(11), x[order], 7, order)
    assert together is not None
    assert shuffled is not None
    np.testing.assert_array_equal(shuffled, together[order])
    for stage in (Stage.SELECTION, Stage.ESTIMATION, Stage.PREDICTION):
        np.testing.assert_array_equal(smoothed().tally(x, 20, stage, 7).followed, together)
    looks = tally_looks(smoothed(), x, N, Stage.ESTIMATION, seed=7)
    np.testing.assert_array_equal(looks.followed, together)


@pytest.mark.usefixtures("many")
def test_none_followed_counts_first_choices_only() -> None:
    tally = smoothed().tally(images(), 50, Stage.EVALUATION, followed=nobody(6))
    assert (tally.head_to_head, tally.followed) == (None, None)
    with pytest.raises(sc.InputError, match="different followed classes"):
        smoothed().tally(images(), 50, Stage.ESTIMATION, followed=np.zeros((6, 2), dtype=np.int64))


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
def test_radii_lie_between_majority_and_all_pairs(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    ablation = sc.UniformAblation(D, K)
    looks = tally_looks(smoothed(), x, N, Stage.ESTIMATION)
    label = smoothed().certify(x, 100, 5, rule="pairwise").label
    whole = looks.at(np.full(60, len(looks.looks) - 1))
    radii = {}
    for size in (5, 2, 1):
        monkeypatch.setattr("sparsecert.votes.tally.MOST_CLASSES_HEAD_TO_HEAD", 3)
        lists = most_often_first(whole.first_choice, size)
        pairs = whole.head_to_head if sampling == "fixed" else looks.head_to_head
        assert pairs is not None
        if sampling == "fixed":
            some = sc.Tally(whole.first_choice, rows_of(pairs, lists), lists)
            radii[size] = sc.certify_tally(some, label, ablation, 0.05, "pairwise").radius
        else:
            rows = np.take_along_axis(pairs, lists[:, None, :, None], axis=2)
            part = LookTally(N, looks.first_choice, rows, lists)
            radii[size] = certify_looks(part, label, ablation, 0.05, "pairwise").radius
            for look in range(len(looks.looks)):
                at = part.at(np.full(60, look))
                np.testing.assert_array_equal(part.fewest_wins[:, look], at.fewest_wins)
                own = np.take_along_axis(at.fewest_wins, label[:, None], axis=1)[:, 0]
                np.testing.assert_array_equal(part.wins_of(label)[:, look].min(axis=1), own)
    every = sc.certify_tally(whole, label, ablation, 0.05, "pairwise").radius
    majority = sc.certify_tally(whole, label, ablation, 0.05, "majority").radius
    if sampling == "sequential":
        every = certify_looks(looks, label, ablation, 0.05, "pairwise").radius
        majority = certify_looks(looks, label, ablation, 0.05, "majority").radius
    np.testing.assert_array_equal(radii[5], every)
    assert (radii[2] <= every).all()
    assert (radii[1] <= radii[2]).all()
    assert (radii[1] >= majority).all()
    assert (radii[2] > majority).sum() > 5
    assert sampling == "sequential" or (radii[1] < radii[2]).any()


@pytest.mark.usefixtures("many")
def test_counting_goes_on_with_the_same_classes_and_old_counts_follow_nobody() -> None:
    x = images()
    whole = tally_looks(smoothed(), x, N, Stage.ESTIMATION)
    assert whole.head_to_head is not None
    first_choice, pairs = whole.first_choice.copy(), whole.head_to_head.copy()
    first_choice[:4, 2:], pairs[:4, 2:] = 0, 0
    first_choice[4:], pairs[4:] = 0, 0
    half = LookTally(N, first_choice, pairs, whole.followed)
    blank = LookTally.empty(N, 1, CLASSES)
    before = LookTally.concatenate([half.take(np.arange(4)), blank, blank])
    ended = tally_looks(smoothed(), x, N, Stage.ESTIMATION, before=before)
    np.testing.assert_array_equal(ended.first_choice, whole.first_choice)
    np.testing.assert_array_equal(ended.head_to_head, whole.head_to_head)
    np.testing.assert_array_equal(ended.followed, whole.followed)
    old = LookTally(N, first_choice[:4])
    before = LookTally.concatenate([old, blank, blank])
    mixed = tally_looks(smoothed(), x, N, Stage.ESTIMATION, before=before)
    assert mixed.followed is not None
    assert (mixed.followed[:4] == NOBODY).all()
    np.testing.assert_array_equal(mixed.first_choice, whole.first_choice)
    np.testing.assert_array_equal(mixed.take(np.arange(4, 6)).head_to_head, pairs_of(whole, 4))
    np.testing.assert_array_equal(mixed.fewest_wins[:4], whole.first_choice[:4])


def pairs_of(tally: LookTally, start: int) -> NDArray[np.int64]:
    assert tally.head_to_head is not None
    return tally.head_to_head[start:]


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
def test_pairwise_certifies_more_than_majority_with_forty_classes(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes against the class are spread over the others."""
    x, n = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(5)), 500
    classifier = smoothed(num_classes=40)
    pairwise, majority = (
        classifier.certify(x, 100, n, rule=rule, sampling=sampling)
        for rule in ("pairwise", "majority")
    )
    both = majority.radius >= 0
    assert (pairwise.radius[both] >= 0).all()
    assert (pairwise.radius > majority.radius).sum() > 6
    assert pairwise.radius.mean() > majority.radius.mean() + 0.2
    named = classifier.predict(x, n, rule="pairwise", sampling=sampling).label
    both = (pairwise.radius >= 0) & (named >= 0)
    assert both.sum() > 3
    np.testing.assert_array_equal(named[both], pairwise.label[both])
    monkeypatch.setattr("sparsecert.votes.tally.MOST_CLASSES_HEAD_TO_HEAD", 64)
    every = classifier.predict(x, n, rule="pairwise", sampling=sampling).label
    np.testing.assert_array_equal(named[named >= 0], every[named >= 0])


GOOD = {
    "first": [[3, 1, 0]],
    "pairs": [[[0, 3, 4], [1, 0, 2]]],
    "followed": [[0, 1]],
}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("followed", [[0, 0]], "different followed classes"),
        ("followed", [[0, 3]], "between 0 and 2"),
        ("followed", [[0, -2]], "between 0 and 2"),
        ("followed", [[0]], r"head_to_head of shape \(1, 1, 3\)"),
        ("followed", [[0, 1], [0, 1]], "for 1 inputs"),
        ("followed", [0, 1], r"of shape \(batch, F\)"),
        ("followed", [[0, -1]], "head_to_head of 0 where -1 is followed"),
        ("pairs", [[[0, 2, 4], [2, 0, 2]]], "first choice above every other"),
        ("pairs", [[[0, 3, 4], [2, 0, 2]]], r"\[c, j\] \+ \[j, c\]"),
        ("pairs", [[[1, 3, 4], [1, 0, 2]]], r"0 at \[c, c\]"),
        ("pairs", [[[0, 3, 5], [1, 0, 2]]], "at most the ballots"),
    ],
)
def test_counts_of_followed_classes_that_no_ballots_give(
    name: str, value: list[list[int]], sentence: str
) -> None:
    sc.Tally(*(np.array(part) for part in GOOD.values()))
    with pytest.raises(sc.InputError, match=sentence):
        sc.Tally(*(np.array(part) for part in (GOOD | {name: value}).values()))


def test_followed_classes_come_with_counts() -> None:
    with pytest.raises(sc.InputError, match="expected head_to_head counts"):
        sc.Tally(np.array([[3, 1, 0]]), followed=np.array([[0, 1]]))
    with pytest.raises(sc.InputError, match="between 0 and 4"):
        LookTally(100, np.zeros((1, 1, 5), np.int64), None, np.array([[5]]))


def test_tallies_of_followed_classes_are_stored_beside_older_ones(tmp_path: Path) -> None:
    classifier, x = smoothed(num_classes=40), images()
    settings = TallySettings("model", "data", 0, "estimation", N)
    store, tally = TallyStore(tmp_path, 40), classifier.tally(x, N, Stage.ESTIMATION)
    older = Stored(np.array([9]), np.ones(1), sc.Tally(tally.first_choice[:1]))
    store.append(settings, [older])
    assert store.read(settings).votes.followed is None
    rows = np.arange(6)
    store.append(settings, [Stored(rows[3:], np.ones(3), tally.take(rows[3:]))])
    store.append(settings, [Stored(rows[:3], np.ones(3), tally.take(rows[:3]))])
    for _ in range(2):
        read = store.read(settings)
        assert read.indices.tolist() == [0, 1, 2, 3, 4, 5, 9]
        kept = read.take(rows).votes
        for found, expected in zip(kept.counts, tally.counts, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert read.votes.followed is not None
        assert (read.votes.followed[6] == NOBODY).all()
        np.testing.assert_array_equal(read.votes.fewest_wins[6], tally.first_choice[0])
        store.compact(settings)
    assert len(list(tmp_path.iterdir())) == 1


def test_looks_of_followed_classes_are_stored_beside_older_ones(tmp_path: Path) -> None:
    tally = tally_looks(smoothed(num_classes=40), images(), N, Stage.ESTIMATION)
    looks = tuple(map(int, look_schedule(N)))
    settings = LookSettings("model", "data", 0, "estimation", N, looks)
    store, rows = LookStore(tmp_path, 40), np.arange(6)
    older = LookTally(N, tally.first_choice[:1])
    store.append(settings, [Stored(np.array([9]), np.ones(1), older)])
    store.append(settings, [Stored(rows, np.ones(6), tally)])
    for _ in range(2):
        read = store.read(settings)
        assert read.indices.tolist() == [0, 1, 2, 3, 4, 5, 9]
        for found, expected in zip(read.take(rows).votes.counts, tally.counts, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert read.votes.followed is not None
        assert (read.votes.followed[6] == NOBODY).all()
        store.compact(settings)


def test_a_thousand_classes_take_seconds_and_little_room(tmp_path: Path) -> None:
    """Per image at most 32 kB, and 104 kB for 13 looks: four bytes a count, before compression."""
    count, n = 6, 1_000
    classifier, x = smoothed(num_classes=1_000), images(count)
    tally = classifier.tally(x, n, Stage.ESTIMATION)
    assert tally.head_to_head is not None
    assert tally.head_to_head.shape == (count, MOST_FOLLOWED, 1_000)
    pairwise, majority = (
        sc.certify_tally(tally, tally.top, ABLATION, 0.05, rule)
        for rule in ("pairwise", "majority")
    )
    assert (pairwise.radius >= majority.radius).all()
    assert pairwise.radius.sum() > majority.radius.sum()
    looks = tally_looks(classifier, x, n, Stage.ESTIMATION)
    assert looks.head_to_head is not None
    assert looks.head_to_head.shape[1:] == (13, MOST_FOLLOWED_AT_LOOKS, 1_000)
    settings = TallySettings("model", "data", 0, "estimation", n)
    TallyStore(tmp_path / "fixed", 1_000).append(
        settings, [Stored(np.arange(count), np.ones(count), tally)]
    )
    schedule = tuple(map(int, look_schedule(n)))
    look_settings = LookSettings("model", "data", 0, "estimation", n, schedule)
    LookStore(tmp_path / "looks", 1_000).append(
        look_settings, [Stored(np.arange(count), np.ones(count), looks)]
    )
    (fixed,), (sequential,) = (list((tmp_path / name).iterdir()) for name in ("fixed", "looks"))
    assert fixed.stat().st_size < count * 32_000
    assert sequential.stat().st_size < count * 104_000
    assert pq.read_schema(fixed).field("head_to_head").type.list_size == 8_000
