"""Confidence bounds on vote shares.

The bounds are Clopper and Pearson's (1934). For a count C ~ Binomial(n, p), the lower bound at
error alpha computed from C = c is the p at which Pr_p[C >= c] = alpha, and 0 for c = 0; it is a
quantile of a beta distribution. Its coverage is at least 1 - alpha for every p and n.

Proof (lower bound). Pr_q[C >= c] grows with q, so the bound exceeds p only if
Pr_p[C >= c] < alpha. The counts c with that property are those from some c* on, and C lands
among them with probability Pr_p[C >= c*] < alpha.  QED

The upper bound is one minus the lower bound on the share of the other answers.

Rounding cannot help a certificate. SciPy's quantile is mostly accurate to 1e-13, but now and then
it is off by 1e-11 (from n = 10^5 on) or more, and at tiny alphas by a half. SciPy's distribution
function, though, is that of a share within 2^-45 of the one asked about, relatively: the largest
distance found, at 1 700 random counts with n up to 2 * 10^9 and alpha down to 1e-130, against 60
digits, was 1.2e-14. So every quantile is moved out until half of the way the distribution function
says alpha or less; the other half is to spare. The way is 2^-40, or longer where the quantile is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sparsecert.errors import LEAST_LEVEL, MOST_SAMPLES, InputError, check_alpha

# How far a share is moved out, relatively; half of it is 2^4 times the largest error found.
OUTWARD = 2.0**-40


def clopper_pearson_lower(count: ArrayLike, total: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """One-sided lower confidence bound on a probability, at confidence 1 - alpha.

    Args:
        count: successes, integers of any shape.
        total: trials, integers that broadcast against `count`, at least 1.
        alpha: error probability.

    Returns:
        Bounds in [0, 1] of the broadcast shape; 0 where the count is 0.

    Raises:
        InputError: for alpha outside (1e-200, 1), non-integers, counts outside 0..total, or
            2^31 trials or more.
    """
    check_alpha(alpha, LEAST_LEVEL)
    counts, totals = _checked_counts(count, total)
    # The quantile is undefined at count 0, where the bound is 0: compute it at 1 and discard it.
    shape = {"a": np.maximum(counts, 1), "b": totals - counts + 1}
    bound = _moved_out(stats.beta.ppf(alpha, **shape), -1, partial(stats.beta.cdf, **shape), alpha)
    return np.where(counts == 0, 0.0, bound)


def clopper_pearson_upper(count: ArrayLike, total: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """One-sided upper confidence bound on a probability, at confidence 1 - alpha.

    Arguments and errors are those of `clopper_pearson_lower`; 1 where the count is the total.
    """
    check_alpha(alpha, LEAST_LEVEL)
    counts, totals = _checked_counts(count, total)
    shape = {"a": counts + 1, "b": np.maximum(totals - counts, 1)}
    bound = _moved_out(stats.beta.isf(alpha, **shape), 1, partial(stats.beta.sf, **shape), alpha)
    return np.where(counts == totals, 1.0, np.minimum(bound, 1.0))


def _moved_out(
    quantile: ArrayLike,
    direction: int,
    tail: Callable[[NDArray[np.float64]], ArrayLike],
    alpha: float,
) -> NDArray[np.float64]:
    """The quantiles, so far out that half of the way the tail is at most alpha; none below 0."""
    start = np.nan_to_num(np.asarray(quantile), nan=1.0)
    way, short = np.full(start.shape, OUTWARD), np.ones(start.shape, dtype=np.bool_)
    while short.any():
        half = start * (1 + direction * way / 2)
        short = (np.asarray(tail(half)) > alpha) & (direction * way > -1)
        way = np.where(short, 2 * way, way)
    return np.asarray(start * (1 + direction * way))


def proportion_interval(
    count: ArrayLike, total: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two-sided Clopper-Pearson interval of a proportion: lower and upper ends."""
    tail = (1 - confidence) / 2
    return clopper_pearson_lower(count, total, tail), clopper_pearson_upper(count, total, tail)


def _checked_counts(
    count: ArrayLike, total: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts, totals = np.broadcast_arrays(np.asarray(count), np.asarray(total))
    for name, values in (("counts", counts), ("numbers of samples", totals)):
        if not np.issubdtype(values.dtype, np.integer):
            raise InputError(f"expected {name} to be integers, got dtype {values.dtype}")
    if totals.size and not 1 <= totals.min() <= totals.max() <= MOST_SAMPLES:
        wrong = totals.min() if totals.min() < 1 else totals.max()
        raise InputError(f"expected at least 1 sample and at most {MOST_SAMPLES}, got {wrong}")
    if (counts < 0).any() or (counts > totals).any():
        raise InputError("expected counts between 0 and the number of samples")
    return counts.astype(np.int64), totals.astype(np.int64)
