"""Theorem 1 and both corollaries against every attacker on spaces small enough to enumerate."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from sparsecert.theory.majority import largest_certified
from sparsecert.theory.shift import majority_thresholds, margin_thresholds
from tests.helpers.spaces import all_ballots, distances


def radius_of(
    rule: str,
    counts: NDArray[np.int64],
    d: int,
    k: int,
    alpha: float = 0.05,
    label: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Radii from votes, of class 0 unless other labels are given."""
    labels = np.zeros(len(counts), dtype=np.int64) if label is None else label
    ablation = sc.UniformAblation(d, k)
    return sc.certify_tally(sc.Tally(counts), labels, ablation, alpha, rule).radius


SIZES = [(d, k) for d in range(1, 8) for k in range(1, d + 1)]


@pytest.mark.parametrize(
    ("d", "k", "classifiers"),
    [
        *[(d, k, 4) for d, k in SIZES],
        *[pytest.param(9, k, 40, marks=pytest.mark.slow) for k in range(1, 10)],
    ],
)
def test_no_attacker_beats_theorem_or_corollaries(d: int, k: int, classifiers: int) -> None:
    rng = np.random.default_rng((d, k))
    distance, total = distances(d), math.comb(d, k)
    for _ in range(classifiers):
        votes = all_ballots(d, k, rng).first_choice
        label = votes.argmax(axis=1)
        top = np.take_along_axis(votes, label[:, None], axis=1)[:, 0]
        rivals = votes.copy()
        np.put_along_axis(rivals, label[:, None], -1, axis=1)
        lead = top - rivals.max(axis=1)

        moved = np.abs(votes[:, None, :] - votes[None, :, :]).max(axis=2)
        for rho in range(d + 1):
            assert (moved[distance <= rho] <= total - math.comb(d - rho, k)).all()

        for radius in (
            largest_certified(majority_thresholds(d, k), top / total),
            largest_certified(margin_thresholds(d, k), lead / total),
        ):
            reachable = distance <= radius[:, None]
            survives = label[:, None] == label[None, :]
            strict = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
            assert (survives & strict[None, :])[reachable].all()


@pytest.mark.parametrize(("d", "k"), SIZES)
@pytest.mark.parametrize("rule", ["majority", "margin"])
def test_no_larger_radius_would_be_true(d: int, k: int, rule: str) -> None:
    """For every number of votes, a base classifier that loses its class one feature further.

    Class 1 is certified, and class 0 takes a tie. On the unchanged image the base classifier votes
    1 on `votes` sets, first on those that meet the rho features about to change, and 0 on the
    rest; shown a changed feature it votes 0. The image with the first features changed is
    enumerated set by set.
    """
    total = math.comb(d, k)
    subsets = list(itertools.combinations(range(d), k))
    for votes in range(total + 1):
        if rule == "majority":
            radius = int(largest_certified(majority_thresholds(d, k), votes / total))
        else:
            radius = int(largest_certified(margin_thresholds(d, k), (2 * votes - total) / total))
        rho = radius + 1
        if rho > d:
            continue
        met_first = sorted(subsets, key=lambda subset: min(subset) >= rho)
        for_one = set(met_first[:votes])

        def winner(changed: int, for_one: set[tuple[int, ...]] = for_one) -> int:
            ones = sum(1 for s in subsets if s in for_one and min(s) >= changed)
            return 1 if ones > total - ones else 0

        assert winner(rho) == 0
        if radius >= 0:
            assert all(winner(changed) == 1 for changed in range(radius + 1))


def test_margin_is_at_least_majority_at_population_values() -> None:
    shares = np.linspace(0, 1, 1001)
    majority = largest_certified(majority_thresholds(784, 45), shares)
    margin = largest_certified(margin_thresholds(784, 45), shares - (1 - shares))
    # A share and its lead are rounded apart by an ulp at most, never by a radius on this grid.
    assert (margin >= majority).all()


def test_margin_of_two_classes_is_majority() -> None:
    counts = np.array([[c, 1000 - c] for c in range(0, 1001, 7)])
    np.testing.assert_array_equal(
        radius_of("margin", counts, 64, 6), radius_of("majority", counts, 64, 6)
    )


def test_margin_is_never_below_majority_at_half_alpha() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(1_000, rng.dirichlet([5, 1, 1, 1], size=500))
    label = counts.argmax(axis=1)
    margin = radius_of("margin", counts, 64, 6, 0.05, label)
    majority = radius_of("majority", counts, 64, 6, 0.025, label)
    assert (margin >= majority).all()
    assert (margin > majority).any()


def test_margin_gains_where_rivals_share_the_rest() -> None:
    counts = np.array([[5_500, 1_500, 1_500, 1_500]])
    assert radius_of("margin", counts, 784, 45) > radius_of("majority", counts, 784, 45)


def test_bounds_per_rival_never_certify_less_than_bounds_for_all_at_once() -> None:
    """Against alpha split over all bounds, as if every rival's bound had to hold."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(1_000, rng.dirichlet(np.full(10, 0.5), size=500))
    label = counts.argmax(axis=1)
    lower = clopper_pearson_lower(counts.max(axis=1), 1_000, 0.025)
    rival = clopper_pearson_upper(np.sort(counts, axis=1)[:, -2], 1_000, 0.025 / 9)
    lead = lower - np.minimum(rival, 1 - lower)
    at_once = largest_certified(margin_thresholds(784, 45), lead)
    radius = radius_of("margin", counts, 784, 45, 0.05, label)
    assert (radius >= at_once).all()
    assert (radius > at_once).any()


@pytest.mark.parametrize("rule", ["majority", "margin"])
@pytest.mark.parametrize(
    ("d", "k", "radius", "alpha"),
    [(784, 45, 8, 0.05), (64, 12, 0, 1e-3), (50_176, 802, 43, 0.05), (50_176, 3_719, 9, 0.05)],
)
def test_smallest_num_samples_is_the_smallest(
    rule: str, d: int, k: int, radius: int, alpha: float
) -> None:
    n = sc.smallest_num_samples(d, k, radius, alpha, rule)
    assert n is not None
    assert radius_of(rule, np.array([[n, 0, 0]]), d, k, alpha) >= radius
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sc.TooFewSamplesWarning)
        assert radius_of(rule, np.array([[n - 1, 0, 0]]), d, k, alpha) < radius


def test_no_number_of_samples_passes_the_ceiling() -> None:
    assert sc.smallest_num_samples(784, 45, 11, 0.05) is not None
    assert sc.smallest_num_samples(784, 45, 12, 0.05) is None


def test_what_is_not_a_number_certifies_nothing() -> None:
    assert largest_certified(majority_thresholds(784, 45), np.array([np.nan, 1.0])).tolist() == [
        -1,
        11,
    ]


def test_all_and_nothing() -> None:
    counts = np.array([[10_000, 0], [0, 10_000], [5_000, 5_000]])
    radius = radius_of("majority", counts, 784, 45)
    np.testing.assert_array_equal(radius, [11, -1, -1])
    everything = radius_of("majority", counts, 784, 784)
    np.testing.assert_array_equal(everything, [0, -1, -1])


def test_rejects_bad_shapes_and_labels() -> None:
    counts = np.array([[9, 1]])
    with pytest.raises(sc.InputError, match="labels between 0 and 1"):
        radius_of("majority", counts, 10, 2, label=np.array([2]))
    with pytest.raises(sc.InputError, match="one label for each"):
        radius_of("majority", counts, 10, 2, label=np.array([0, 0]))
    with pytest.raises(sc.InputError, match="2 classes or more"):
        radius_of("majority", np.array([[9]]), 10, 2)
    with pytest.raises(sc.InputError, match="at least 0"):
        sc.smallest_num_samples(10, 2, -1, 0.05)
    with pytest.raises(sc.InputError, match="rule"):
        sc.smallest_num_samples(10, 2, 0, 0.05, "sum")
