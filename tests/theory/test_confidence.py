from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from scipy import stats

import sparsecert as sc
from sparsecert.errors import InputError
from sparsecert.theory.confidence import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    proportion_interval,
)
from sparsecert.theory.prediction import pairwise_p_value, top_two_p_value

CASES = [
    (count, total, alpha)
    for total, alpha in itertools.product((1, 2, 7, 100, 1_000, 10_000, 100_000), (0.05, 1e-3))
    for count in sorted({0, 1, total // 2, total * 9 // 10, total - 1, total})
]


# Where the quantile is not accurate enough: by 1e-8 of alpha, and by half of itself.
HARD = [(99_001, 100_000, 0.025), (99_001, 100_000, 1e-6), (5, 100_000, 7e-90), (2, 100, 2e-100)]
LARGE = [
    (count, total, alpha)
    for total, alpha in itertools.product((10**6, 10**8), (0.05, 1e-30, 1e-99))
    for count in (3, total // 1_000, total * 6 // 10, total - 7)
]


def upper_tail(count: int, total: int, p: mpmath.mpf) -> mpmath.mpf:
    """Pr[Binomial(total, p) >= count], summed term by term."""
    if p in (0, 1):
        return p
    logarithm = count * mpmath.log(p) + (total - count) * mpmath.log1p(-p)
    term = mpmath.binomial(total, count) * mpmath.exp(logarithm)
    tail = term
    for c in range(count, total):
        term *= (total - c) * p / ((c + 1) * (1 - p))
        tail += term
        if term < tail * mpmath.mpf(10) ** -50:
            break
    return tail


@pytest.mark.parametrize(("count", "total", "alpha"), CASES)
def test_bounds_keep_their_error_at_sixty_digits(count: int, total: int, alpha: float) -> None:
    lower = float(clopper_pearson_lower(count, total, alpha))
    upper = float(clopper_pearson_upper(count, total, alpha))
    assert 0 <= lower <= count / total <= upper <= 1
    with mpmath.workdps(60):
        if count > 0:
            assert alpha * (1 - 1e-3) < upper_tail(count, total, mpmath.mpf(lower)) <= alpha
        else:
            assert lower == 0
        if count < total:
            rest = 1 - mpmath.mpf(upper)
            assert alpha * (1 - 1e-3) < upper_tail(total - count, total, rest) <= alpha
        else:
            assert upper == 1


@pytest.mark.parametrize(("count", "total", "alpha"), HARD + LARGE)
@pytest.mark.filterwarnings("ignore:Error in function:RuntimeWarning")
def test_bounds_keep_their_error_where_quantiles_are_wrong(
    count: int, total: int, alpha: float
) -> None:
    lower = float(clopper_pearson_lower(count, total, alpha))
    upper = float(clopper_pearson_upper(total - count, total, alpha))
    with mpmath.workdps(60):
        assert upper_tail(count, total, mpmath.mpf(lower)) <= alpha
        assert upper_tail(count, total, 1 - mpmath.mpf(upper)) <= alpha
    if alpha > 1e-50:
        quantile = stats.beta.ppf(alpha, count, total - count + 1)
        assert quantile * (1 - 1e-8) < lower < quantile


@pytest.mark.parametrize("total", [1, 10, 1_000, 100_000, 10**7])
def test_p_values_are_rounded_up(total: int) -> None:
    for deviations in (1, 4, 19):
        count = min((total + 1) // 2 + int(deviations * total**0.5 / 2), total)
        with mpmath.workdps(60):
            exact = upper_tail(count, total, mpmath.mpf(1) / 2)
        p_value = float(pairwise_p_value(np.array(count), np.array(total)))
        assert exact <= p_value < exact * (1 + 1e-6)
        assert float(top_two_p_value(count, total - count)) == min(2 * p_value, 1)


def test_bounds_at_no_and_all_successes() -> None:
    assert clopper_pearson_lower(0, 50, 0.05) == 0
    assert clopper_pearson_upper(50, 50, 0.05) == 1
    assert clopper_pearson_lower(50, 50, 0.05) == pytest.approx(0.05 ** (1 / 50), rel=1e-12)
    assert clopper_pearson_upper(0, 50, 0.05) == pytest.approx(1 - 0.05 ** (1 / 50), rel=1e-12)


@pytest.mark.parametrize("total", [1, 5, 40, 300])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_coverage_is_at_least_what_is_promised(total: int, alpha: float) -> None:
    """Summed over all outcomes rather than simulated: the coverage is exact."""
    counts = np.arange(total + 1)
    lower = clopper_pearson_lower(counts, total, alpha)
    upper = clopper_pearson_upper(counts, total, alpha)
    for p in np.linspace(0.001, 0.999, 997):
        mass = stats.binom.pmf(counts, total, p)
        assert mass[lower <= p].sum() >= 1 - alpha - 1e-12
        assert mass[upper >= p].sum() >= 1 - alpha - 1e-12


def test_coverage_by_simulation() -> None:
    rng = np.random.default_rng(0)
    misses = [
        (clopper_pearson_lower(rng.binomial(10_000, p, 20_000), 10_000, 0.05) > p).sum()
        for p in (0.51, 0.877, 0.999)
    ]
    # 20 000 trials with an error of at most 5 %: 1 150 misses are 4.9 standard deviations away.
    assert max(misses) < 1_150


def test_two_sided_interval_agrees_with_scipy() -> None:
    low, high = proportion_interval(485, 500)
    expected = stats.binomtest(485, 500).proportion_ci(0.95, method="exact")
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(1, 0), (7, 7), (60, 40), (5_100, 4_900), (9, 1)])
def test_top_two_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue
    assert float(top_two_p_value(first, second)) == pytest.approx(expected, rel=1e-9)


def test_rejects_impossible_counts() -> None:
    with pytest.raises(InputError, match="between 0 and the number"):
        clopper_pearson_lower(11, 10, 0.05)
    with pytest.raises(InputError, match="between 0 and the number"):
        clopper_pearson_upper(-1, 10, 0.05)
    with pytest.raises(InputError, match="integers"):
        clopper_pearson_lower(np.array([0.9]), 10, 0.05)
    with pytest.raises(InputError, match="at least 1 sample"):
        clopper_pearson_lower(0, 0, 0.05)
    with pytest.raises(InputError, match="at most 2147483647, got 2147483648"):
        clopper_pearson_lower(0, 2**31, 0.05)
    with pytest.raises(InputError, match="runner-up"):
        top_two_p_value(3, 4)


@pytest.mark.parametrize("alpha", [1e-101, 1e-200, 1e-310])
def test_alphas_too_small_for_floating_point_are_refused(alpha: float) -> None:
    """Level by level an alpha may be divided further."""
    sentence = f"alpha, .* above 1e-100 and below 1, got {alpha}"
    with pytest.raises(InputError, match=sentence):
        sc.certify_tally(sc.Tally(np.array([[9, 1]])), [0], sc.UniformAblation(9, 1), alpha)
    with pytest.raises(InputError, match=sentence):
        sc.predict_tally(sc.Tally(np.array([[9, 1]])), alpha)
    assert float(clopper_pearson_lower(9, 9, 1e-199)) == pytest.approx(1e-199 ** (1 / 9))
    with pytest.raises(InputError, match="alpha"):
        clopper_pearson_lower(9, 9, 1e-200)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_rejects_alpha_outside_zero_to_one(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        clopper_pearson_lower(5, 10, alpha)
