"""Certificates of fixed families against attackers who are enumerated."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.rules import FAMILY_RULES
from sparsecert.theory import coverage
from sparsecert.theory.ballots import Ballots
from sparsecert.theory.coverage import SparseReach, most_touched_sets
from tests.helpers.spaces import assert_no_change_within, binary_images

RULES = list(FAMILY_RULES)
NO_WINNER = -1


def first_counts(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`(profiles, classes)` first choices, from `(profiles, ballots, classes, classes)`."""
    counts: NDArray[np.int64] = (above.sum(axis=3) == above.shape[2] - 1).sum(axis=1)
    return counts


def plurality(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`(profiles,)` winners; of equal counts `argmax` takes the first."""
    return np.asarray(first_counts(above).argmax(axis=1))


def beats(above: NDArray[np.bool_], one: int, other: int) -> NDArray[np.bool_]:
    """`(profiles,)` whether one class wins head to head."""
    wins = 2 * above[:, :, one, other].sum(axis=1) - above.shape[1]
    return np.asarray((wins > 0) | ((wins == 0) & (one < other)))


def pairwise(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    classes = range(above.shape[2])
    winner = np.full(len(above), NO_WINNER)
    for c in classes:
        all_beaten = np.all([beats(above, c, j) for j in classes if j != c], axis=0)
        winner[all_beaten] = c
    return winner


def run_off(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    counts = first_counts(above)
    leader = counts.argmax(axis=1)
    counts[np.arange(len(counts)), leader] = -1
    second = counts.argmax(axis=1)
    winner: NDArray[np.int64] = leader.copy()
    for one, other in itertools.permutations(range(above.shape[2]), 2):
        met = (leader == one) & (second == other)
        winner[met & ~beats(above, one, other)] = other
    return winner


ORACLES: dict[str, Callable[[NDArray[np.bool_]], NDArray[np.int64]]] = {
    "plurality": plurality,
    "run-off": run_off,
    "pairwise": pairwise,
}


class Profiles:
    """All profiles of rankings of a few ballots, and every rule's class for each."""

    def __init__(self, ballots: int, classes: int) -> None:
        rankings = np.array(list(itertools.permutations(range(classes))))
        places = np.argsort(rankings, axis=1)
        self.scores = -places.astype(np.float64)
        above = places[:, :, None] < places[:, None, :]
        self.choices = np.array(list(itertools.product(range(len(rankings)), repeat=ballots)))
        self.winner = {
            rule: np.concatenate([oracle(above[part]) for part in np.array_split(self.choices, 20)])
            for rule, oracle in ORACLES.items()
        }

    def safe_radius(self, rule: str, index: int, membership: NDArray[np.bool_]) -> int:
        """The largest rho at which no changes of the touched ballots change the rule's class.

        -1 where the rule has no class of its own.
        """
        own = self.winner[rule][index]
        if own == NO_WINNER:
            return -1
        same = self.choices == self.choices[index]
        features = int(membership.shape[1])
        for rho in range(features + 1):
            for changed in itertools.combinations(range(features), rho):
                untouched = ~membership[:, changed].any(axis=1)
                reachable = same[:, untouched].all(axis=1)
                if (self.winner[rule][reachable] != own).any():
                    return rho - 1
        return features


@functools.cache
def all_profiles(ballots: int, classes: int) -> Profiles:
    return Profiles(ballots, classes)


def families(ballots: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """A partition, and overlapping families with few and with many sets per feature."""
    partition = np.eye(ballots, dtype=np.bool_)
    found = [np.concatenate([partition, partition[:, ::-1]], axis=1)[:, : ballots + 2]]
    for share in (0.3, 0.5):
        sets = rng.random((ballots, 5)) < share
        sets[np.arange(ballots), rng.integers(0, 5, ballots)] = True
        found.append(sets)
    return found


@pytest.mark.parametrize(
    ("ballots", "classes"),
    [
        *[(3, 4), (5, 3), (9, 2)],
        *[pytest.param(*size, marks=pytest.mark.slow) for size in ((4, 4), (6, 3))],
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_every_change_of_the_touched_ballots(rule: str, ballots: int, classes: int) -> None:
    """A radius is never more than the truth, and on partitions it is the truth.

    For run-off it may be less even there: overtaking the runner-up is not enough where a third
    class has as many ballots, and one ballot need not serve both rounds.
    """
    profiles = all_profiles(ballots, classes)
    rng = np.random.default_rng(len(rule))
    # Profiles in which ballots agree, so that there is something to certify, and any.
    some = rng.choice(len(profiles.choices), size=min(2_000, len(profiles.choices)), replace=False)
    order = np.argsort([len(set(row)) for row in profiles.choices[some].tolist()])
    chosen = np.concatenate([some[order[:15]], some[:10]])
    for number, membership in enumerate(families(ballots, rng)):
        ablation = sc.FixedAblation(membership)
        scores = profiles.scores[profiles.choices[chosen]]
        truth = np.array([profiles.safe_radius(rule, int(i), membership) for i in chosen])
        certified = sc.certify_ballots(scores, ablation, rule)
        assert (certified.radius <= truth).all()
        if number == 0:
            assert truth.max() >= 1
            if rule != "run-off":
                np.testing.assert_array_equal(certified.radius, truth)
        winner = profiles.winner[rule][chosen]
        np.testing.assert_array_equal(certified.label[winner >= 0], winner[winner >= 0])
        np.testing.assert_array_equal(certified.radius >= 0, winner >= 0)


def all_scores(
    membership: NDArray[np.bool_], classes: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores of one random base classifier on every binary image: (2^d, sets, classes).

    Scores are small integers, so that there are ties.
    """
    sets, d = membership.shape
    images = binary_images(d)
    favour = np.zeros(classes, dtype=np.int64)
    favour[rng.integers(classes)] = rng.choice([1, 2, 3])
    scores = np.empty((2**d, sets, classes))
    for number, members in enumerate(membership):
        size = int(members.sum())
        table = rng.integers(0, 3, size=(2**size, classes)) + favour
        scores[:, number] = table[images[:, members] @ (1 << np.arange(size))]
    return scores


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_no_changed_image_within_the_radius_changes_class(rule: str, classes: int) -> None:
    """Every binary image against every other, for random base classifiers and families."""
    d = 8
    rng = np.random.default_rng((classes, len(rule), d))
    largest = 0
    for sets in (1, d, 2 * d):
        for share in (0.05, 0.05, 0.2):
            membership = rng.random((sets, d)) < share
            membership[np.arange(sets), rng.permutation(2 * d)[:sets] % d] = True
            scores = all_scores(membership, classes, rng)
            result = sc.certify_ballots(scores, sc.FixedAblation(membership), rule)
            assert_no_change_within(result.radius, result.label)
            largest = max(largest, int(result.radius.max()))
    assert largest >= 1


def sets_of(size: int, features: int) -> NDArray[np.bool_]:
    """All sets of that size."""
    chosen = list(itertools.combinations(range(features), size))
    return np.array([np.isin(np.arange(features), each) for each in chosen])


@pytest.mark.parametrize("rule", RULES)
def test_no_changed_image_within_a_radius_that_overlaps_allow(rule: str) -> None:
    """The same where features share sets, so that two of them touch fewer than their sum."""
    rng = np.random.default_rng(len(rule))
    gained = 0
    for membership in (sets_of(2, 8), sets_of(2, 9), sc.inversive_circles((3, 3), 3).membership):
        family = sc.FixedAblation(membership)
        assert family.most_touched is not None
        for _ in range(4):
            scores = all_scores(membership, 3, rng)
            result = sc.certify_ballots(scores, family, rule)
            assert_no_change_within(result.radius, result.label)
            by_sums = SparseReach(family.columns, family.num_features)
            assert chosen_radius(scores, rule, by_sums).max() <= result.radius.max()
            gained += int((result.radius > chosen_radius(scores, rule, by_sums)).sum())
    assert gained > 0


def chosen_radius(scores: NDArray[np.float64], rule: str, reach: SparseReach) -> NDArray[np.int64]:
    """Radii by a reach of one's own."""
    outcome = FAMILY_RULES[rule].outcome(Ballots(scores, reach))
    return np.minimum(outcome.radius, reach.last)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_no_features_touch_more_sets_than_the_overlap_bound(share: float) -> None:
    """All sets of features, of random families."""
    rng = np.random.default_rng(int(10 * share))
    below, bounded = 0, 0
    for sets in (10, 30, 60):
        membership = rng.random((sets, 7)) < share
        membership[np.arange(sets), rng.integers(0, 7, sets)] = True
        columns = sc.FixedAblation(membership).columns
        most, size = most_touched_sets(columns), columns.shape[1]
        if most is None:
            shared = columns.T.astype(int) @ columns
            assert shared[~np.eye(size, dtype=bool)].min() == 0
            continue
        bounded += 1
        sums = np.append(0, np.cumsum(-np.sort(-columns.sum(axis=0))))
        for rho in range(size + 1):
            chosen = itertools.combinations(range(size), rho)
            assert max(int(columns[:, each].any(axis=1).sum()) for each in chosen) <= most[rho]
            assert most[rho] <= sums[rho]
            below += most[rho] < sums[rho]
    assert below > bounded > 0


def test_families_beyond_a_size_have_no_overlap_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = sets_of(2, 8)
    monkeypatch.setattr(coverage, "_MOST_COLUMNS", 7)
    assert most_touched_sets(columns) is None
    monkeypatch.setattr(coverage, "_MOST_COLUMNS", 8)
    assert most_touched_sets(columns) is not None
    monkeypatch.setattr(coverage, "_MOST_TRIPLES", 10)
    assert most_touched_sets(columns) is None


def agreeable_scores(
    batch: int, sets: int, classes: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores of base classifiers that are mostly right, with ties."""
    scores = rng.integers(0, 6, size=(batch, sets, classes)).astype(np.float64)
    favoured = rng.integers(0, classes, batch)
    scores[np.arange(batch), :, favoured] += rng.uniform(0, 5, (batch, 1)).round()
    return scores


def first_choices(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    first = scores.argmax(axis=2)
    return np.stack([(first == c).sum(axis=1) for c in range(scores.shape[2])], axis=1)


def published_run_off_radius(scores: NDArray[np.float64], label: int) -> int:
    """The run-off certificate for a partition as Hammoudeh and Lowd (2024) have it, one image."""
    counts = first_choices(scores[None])[0]
    classes = [j for j in range(len(counts)) if j != label]

    def gap(one: int, other: int) -> int:
        return max(0, int(counts[one] - counts[other]) + (other > one))

    @functools.cache
    def fewest(i: int, j: int) -> int:
        """Ballots to move until gaps of i and j are closed; one move closes 2 and 1."""
        if min(i, j) < 2:
            return -(-max(i, j) // 2)
        return 1 + min(fewest(i - 2, j - 1), fewest(i - 1, j - 2))

    out = [fewest(gap(label, a), gap(label, b)) for a, b in itertools.combinations(classes, 2)]
    runner_up = max(classes, key=lambda j: (counts[j], -j))
    lost = []
    for j in classes:
        own, other = scores[:, label], scores[:, j]
        wins = ((own > other) | ((own == other) & (label < j))).sum()
        second = max(0, int(2 * wins) - len(scores) + (j > label))
        first = 0 if j == runner_up else gap(runner_up, j)
        lost.append(max(-(-first // 2), -(-second // 2)))
    return min(out + lost) - 1


def test_partitions_get_the_published_certificates() -> None:
    rng = np.random.default_rng(0)
    ablation = sc.random_partitions(97, 24)
    scores = agreeable_scores(400, 24, 5, rng)
    result = sc.certify_ballots(scores, ablation, "plurality")
    counts = first_choices(scores)
    rows = np.arange(len(counts))
    lead = counts[rows, result.label][:, None] - counts
    lead = lead - (np.arange(5) < result.label[:, None])
    lead[rows, result.label] = 10**6
    np.testing.assert_array_equal(result.radius, lead.min(axis=1) // 2)
    run_off = sc.certify_ballots(scores, ablation, "run-off")
    published = [
        published_run_off_radius(ballots, int(label))
        for ballots, label in zip(scores, run_off.label, strict=True)
    ]
    # Ours also counts that the runner-up may have too few ballots that are worth two.
    assert (run_off.radius >= published).all()
    assert np.mean(run_off.radius == published) > 0.95
    assert run_off.radius.max() > 5


def test_the_ballots_around_a_feature_count_by_what_they_can_lose() -> None:
    """Each feature is in four of twelve sets, of which one is against the class already.

    Charging 2 for each touched ballot gives 8, more than the lead of 6; only the ballots for class
    0 can lose, and there are three of them around each feature.
    """
    membership = np.arange(12)[:, None] % 3 == np.arange(3)[None, :]
    scores = np.zeros((1, 12, 2))
    scores[:, :9, 0] = 1
    scores[:, 9:, 1] = 1
    result = sc.certify_ballots(scores, sc.FixedAblation(membership))
    assert (result.label.tolist(), result.radius.tolist()) == ([0], [1])


def test_a_run_off_can_be_lost_in_the_first_round() -> None:
    """Six ballots for class 0, three each for 1 and 2, which rank 0 second.

    Two ballots moved from class 0 to 1, and one to 2, put both ahead of it: 3 to 5 and 4. Two moved
    ballots cannot, and beating class 0 head to head takes four.
    """
    scores = np.zeros((1, 12, 3))
    scores[:, :, 0] = 1
    scores[:, 6:9, 1] = 2
    scores[:, 9:, 2] = 2
    ablation = sc.strided_partition(12, 12)
    assert sc.certify_ballots(scores, ablation, "run-off").radius.tolist() == [2]
    assert sc.certify_ballots(scores, ablation, "pairwise").radius.tolist() == [3]
