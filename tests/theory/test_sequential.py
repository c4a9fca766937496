"""Boundaries against enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import sparsecert as sc
from sparsecert.theory import boundaries
from sparsecert.theory.boundaries import crossing_counts, crossing_table, spent_levels
from sparsecert.theory.confidence import clopper_pearson_lower
from sparsecert.theory.majority import majority_certificate, share_certificate
from sparsecert.theory.margin import margin_by_look, margin_certificate
from sparsecert.theory.pairwise import pairwise_certificate
from sparsecert.theory.schedule import growing_looks
from sparsecert.theory.shift import majority_thresholds, margin_thresholds
from tests.helpers.votes import RULES, all_looks_at, looks_of

LOOKS = [(12,), (5, 12), (3, 6, 9, 12), tuple(range(1, 13))]


def crossing_probability(share: Fraction, looks: tuple[int, ...], counts: tuple[int, ...]) -> float:
    """Over all paths: a path is a ballot for or against at each step."""
    total = Fraction(0)
    for path in itertools.product((0, 1), repeat=looks[-1]):
        sums = np.cumsum(path)
        if any(sums[n - 1] >= count for n, count in zip(looks, counts, strict=True)):
            total += share ** int(sums[-1]) * (1 - share) ** (looks[-1] - int(sums[-1]))
    return float(total)


def exact_crossing(share: Fraction, looks: tuple[int, ...], counts: tuple[int, ...]) -> Fraction:
    """The same step by step, ballot by ballot, in fractions: an oracle for longer walks."""
    alive, crossed = {0: Fraction(1)}, Fraction(0)
    boundary = dict(zip(looks, counts, strict=True))
    for n in range(1, looks[-1] + 1):
        after: dict[int, Fraction] = {}
        for count, probability in alive.items():
            after[count] = after.get(count, Fraction(0)) + probability * (1 - share)
            after[count + 1] = after.get(count + 1, Fraction(0)) + probability * share
        if n in boundary:
            crossed += sum((p for s, p in after.items() if s >= boundary[n]), Fraction(0))
            after = {s: p for s, p in after.items() if s < boundary[n]}
        alive = after
    return crossed


def spent_by(
    share: Fraction, looks: tuple[int, ...], counts: tuple[int, ...], look: int
) -> Fraction:
    return exact_crossing(share, looks[: look + 1], counts[: look + 1])


@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(5, 8), Fraction(7, 8)])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_boundaries_are_the_least_that_keep_to_alpha_over_all_paths(
    looks: tuple[int, ...], share: Fraction, alpha: float
) -> None:
    counts = crossing_counts(float(share), looks, alpha)
    assert crossing_probability(share, looks, counts) <= alpha
    for look, n in enumerate(looks):
        allowed = Fraction(alpha) * n / looks[-1]
        spent = spent_by(share, looks, counts, look)
        assert spent <= allowed
        if counts[look] > 0:
            lower = (*counts[:look], counts[look] - 1)
            # One ballot less would overspend: the boundary gives nothing away.
            assert spent_by(share, looks, lower, look) > allowed


@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize("spending", ["roots", "at once", "late", "in steps"])
def test_any_spending_fixed_beforehand_is_kept_to(
    monkeypatch: pytest.MonkeyPatch, looks: tuple[int, ...], spending: str
) -> None:
    """The proof uses nothing of f but that it does not fall and ends with at most 1."""
    share, alpha, last = Fraction(5, 8), 0.3, np.arange(len(looks)) == len(looks) - 1
    spent = {
        "roots": np.sqrt(np.array(looks) / looks[-1]),
        "at once": np.ones(len(looks)),
        "late": last.astype(np.float64),
        "in steps": np.ceil(np.linspace(0, 2, len(looks) + 1)[1:]) / 4,
    }[spending]
    monkeypatch.setattr(boundaries, "spent_share", lambda _: spent)
    counts = crossing_counts.__wrapped__(float(share), looks, alpha)
    for look, allowed in enumerate(Fraction(alpha) * Fraction(f) for f in spent.tolist()):
        assert spent_by(share, looks, counts, look) <= allowed
        lower = (*counts[:look], counts[look] - 1)
        assert spent_by(share, looks, lower, look) > allowed
    levels = [Fraction(level) for level in spent_levels(np.array(looks), alpha).tolist()]
    assert min(levels) >= 0
    assert sum(levels) <= Fraction(alpha) * Fraction(spent.tolist()[-1])


def test_boundaries_against_fractions_on_the_real_schedule() -> None:
    looks = growing_looks(400)
    assert len(looks) > 5
    for share in (Fraction(1, 2), Fraction(3, 4), Fraction(31, 32)):
        for alpha in (0.05, 0.001):
            counts = crossing_counts(float(share), looks, alpha)
            spent = float(exact_crossing(share, looks, counts))
            assert 0.5 * alpha < spent <= alpha


def test_what_is_crossed_grows_with_the_share() -> None:
    looks = LOOKS[2]
    counts = crossing_counts(0.5, looks, 0.3)
    crossed = [crossing_probability(Fraction(i, 10), looks, counts) for i in range(11)]
    assert crossed == sorted(crossed)
    assert crossed[-1] == 1


def test_boundaries_of_ten_thousand_ballots_by_simulation() -> None:
    looks = np.array(growing_looks(10_000))
    rng = np.random.default_rng(0)
    shares = np.array([0.5, *majority_thresholds(784, 45)[[3, 8, 11]]])
    for share, counts in zip(shares, crossing_table(shares, looks, 0.05), strict=True):
        sums = np.cumsum(rng.binomial(np.diff(looks, prepend=0), share, (40_000, len(looks))), 1)
        errors = int((sums >= counts).any(axis=1).sum())
        assert errors <= stats.binom.ppf(0.9999, 40_000, 0.05)
        assert errors >= 0.7 * 0.05 * 40_000


@pytest.mark.parametrize("n", [1, 4, 5, 57, 119])
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
def test_one_look_is_clopper_and_pearson(n: int, alpha: float) -> None:
    for share in majority_thresholds(30, 6):
        bounds = clopper_pearson_lower(np.arange(n + 1), n, alpha)
        (count,) = crossing_counts(float(share), (n,), alpha)
        np.testing.assert_array_equal(np.arange(n + 1) >= count, bounds > share)


def test_tiny_alphas_do_not_underflow_into_certificates() -> None:
    for alpha in (1e-12, 1e-200, 1e-310):
        counts = crossing_counts(0.5, (500, 1_000), alpha)
        for n, count in zip((500, 1_000), counts, strict=True):
            assert count > n or stats.binom.logsf(count - 1, n, 0.5) <= math.log(alpha)


def test_looks_rise_to_the_budget_and_levels_to_alpha() -> None:
    for n in (1, 2, 99, 119, 120, 121, 1_000, 9_999, 10_000, 10**6):
        looks = np.array(growing_looks(n))
        assert looks[-1] == n
        assert (np.diff(looks) > 0).all()
        assert len(looks) == 1 or looks[0] >= 100
        exact = sum(map(Fraction, spent_levels(looks, 0.05).tolist()))
        assert 0.0499 < exact <= Fraction(0.05)


def test_boundaries_of_many_thresholds_rise() -> None:
    table = crossing_table(majority_thresholds(50_176, 1_000), np.array(growing_looks(2_000)), 0.05)
    assert (np.diff(table, axis=0) >= 0).all()


@pytest.mark.parametrize(("share", "looks"), [(0.0, (5,)), (0.5, ()), (0.5, (5, 5)), (0.5, (0, 5))])
def test_boundaries_of_nothing_are_refused(share: float, looks: tuple[int, ...]) -> None:
    with pytest.raises(sc.InputError, match="expected"):
        crossing_counts(share, looks, 0.05)


def certificates_of_one_look(
    counts: NDArray[np.int64], n: int, d: int, k: int, alpha: float
) -> dict[str, NDArray[np.int64]]:
    """Radii of class 0 by each rule, read at one look of n ballots, whatever the schedule."""
    looks, reached = np.array([n]), np.ones((len(counts), 1), dtype=np.bool_)
    own, rival = counts[:, :1], counts[:, 1:].max(axis=1, keepdims=True)
    return {
        "majority": share_certificate(
            own[:, :, None], reached, looks, majority_thresholds(d, k), alpha
        ).radius[:, 0],
        "margin": margin_by_look(
            own, rival[..., None], reached, looks, margin_thresholds(d, k), alpha
        ).radius[:, 0],
        "pairwise": share_certificate(
            (n - counts[:, 1:])[:, None, :], reached, looks, majority_thresholds(d, k), alpha
        ).radius[:, 0],
    }


@pytest.mark.parametrize("n", [100, 1_000])
def test_one_look_certifies_what_the_fixed_rules_do(n: int) -> None:
    rng = np.random.default_rng(n)
    counts = rng.multinomial(n, rng.dirichlet((4, 1, 1), 500)).astype(np.int64)
    d, k, alpha = 64, 12, 0.05
    found = certificates_of_one_look(counts, n, d, k, alpha)
    shares, total = majority_thresholds(d, k), np.full(500, n)
    own, rival = counts[:, 0], counts[:, 1:].max(axis=1)
    fixed = {
        "majority": majority_certificate(own, total, shares, alpha),
        "margin": margin_certificate(own, rival[..., None], total, margin_thresholds(d, k), alpha),
        # Every ballot that is not for a rival is taken to rank the class above it.
        "pairwise": pairwise_certificate(n - rival, total, shares, alpha),
    }
    for rule, certified in fixed.items():
        np.testing.assert_array_equal(found[rule], certified.radius[:, 0], err_msg=rule)
        assert len(np.unique(certified.radius)) > 2


BUDGET, ALPHA = 2_000, 0.05
TWO_RIVALS = [[0, 1, 2], [1, 2, 0], [2, 1, 0]]


def test_one_rival_uses_nearly_all_of_alpha_where_nobody_stops() -> None:
    """What no stopping rule can exceed: the claim at any look at all."""
    tally = looks_of(np.random.default_rng(7), [5 / 8, 3 / 8], [[0, 1], [1, 0]], BUDGET, 40_000)
    certified = share_certificate(
        tally.first_choice[:, :, :1],
        tally.reached,
        np.array(tally.looks),
        majority_thresholds(8, 1),
        ALPHA,
    )
    errors = int((certified.radius[:, -1] >= 1).sum())
    assert 0.9 * ALPHA * 40_000 < errors <= stats.binom.ppf(0.9999, 40_000, ALPHA)


@pytest.mark.parametrize("rule", RULES)
def test_clear_predictions_are_named_at_the_first_look(rule: str) -> None:
    tally = looks_of(np.random.default_rng(1), [0.9, 0.05, 0.05], TWO_RIVALS, BUDGET, 500)
    named = sc.predict_tally(tally, ALPHA, rule)
    assert (named.label == 0).all()
    assert named.num_samples.mean() < 1.05 * growing_looks(BUDGET)[0]


@pytest.mark.parametrize("rule", RULES)
def test_radii_are_nearly_the_fixed_ones_at_a_fraction_of_the_ballots(rule: str) -> None:
    rng = np.random.default_rng(3)
    ablation, n = sc.UniformAblation(784, 45), 10_000
    shares = [[share, (1 - share) / 2, (1 - share) / 2] for share in rng.uniform(0.55, 1.0, 300)]
    tally = sc.Tally.concatenate([looks_of(rng, row, TWO_RIVALS, n, 1) for row in shares])
    label = np.zeros(300, dtype=np.int64)
    stopped, fixed = (
        sc.certify_tally(votes, label, ablation, ALPHA, rule)
        for votes in (tally, all_looks_at(tally))
    )
    assert stopped.radius.mean() > 0.97 * fixed.radius.mean()
    assert stopped.num_samples.mean() < 0.4 * n


def test_of_very_many_thresholds_some_are_tested_and_no_radius_is_too_large() -> None:
    thresholds = majority_thresholds(50_176, 1)
    looks, share = np.array(growing_looks(300)), 0.8
    assert len(thresholds) > 20_000
    rng = np.random.default_rng(0)
    wins = np.cumsum(rng.binomial(np.diff(looks, prepend=0), share, (2_000, len(looks))), axis=1)
    reached = np.ones(wins.shape, dtype=np.bool_)
    found = share_certificate(wins[:, :, None], reached, looks, thresholds, ALPHA)
    largest = np.searchsorted(thresholds, share) - 1
    errors = int((found.radius[:, -1] > largest).sum())
    assert errors <= stats.binom.ppf(0.9999, 2_000, ALPHA)
    fixed = np.searchsorted(thresholds, clopper_pearson_lower(wins[:, -1], 300, ALPHA)) - 1
    assert (found.radius[:, -1] > fixed - 1_500).mean() > 0.9
    passed = found.lower_bound[:, -1] > 0
    np.testing.assert_array_equal(
        found.lower_bound[passed, -1], thresholds[found.radius[passed, -1]]
    )
