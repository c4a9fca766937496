"""Confidence bounds on vote shares.

The bounds are Clopper and Pearson's (1934). For a count C ~ Binomial(n, p), the lower bound at
error alpha computed from C = c is the p at which Pr_p[C >= c] = alpha, and 0 for c = 0; it is a
quantile of a beta distribution. Its coverage is at least 1 - alpha for every p and n.

Proof (lower bound). Pr_q[C >= c] grows with q, so the bound exceeds p only if
Pr_p[C >= c] < alpha. The counts c with that property are those from some c* on, and C lands
among them with probability Pr_p[C >= c*] < alpha.  QED

The upper bound is one minus the lower bound on the share of the other answers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sparsecert.errors import InputError, check_alpha

# SciPy's beta quantile is accurate to about 1e-14. Every bound is moved this much (relatively)
# further out, so that rounding cannot help a certificate; a test checks it at 60 digits.
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
        InputError: for alpha outside (0, 1), non-integers, or counts outside 0..total.
    """
    check_alpha(alpha)
    counts, totals = _checked_counts(count, total)
    # The quantile is undefined at count 0, where the bound is 0: compute it at 1 and discard it.
    quantile = stats.beta.ppf(alpha, np.maximum(counts, 1), totals - counts + 1)
    return np.where(counts == 0, 0.0, quantile * (1 - OUTWARD))


def clopper_pearson_upper(count: ArrayLike, total: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """One-sided upper confidence bound on a probability, at confidence 1 - alpha.

    Arguments and errors are those of `clopper_pearson_lower`; 1 where the count is the total.
    """
    check_alpha(alpha)
    counts, totals = _checked_counts(count, total)
    quantile = stats.beta.isf(alpha, counts + 1, np.maximum(totals - counts, 1))
    return np.where(counts == totals, 1.0, np.minimum(quantile * (1 + OUTWARD), 1.0))


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
    if totals.size and totals.min() < 1:
        raise InputError(f"expected at least 1 sample, got {totals.min()}")
    if (counts < 0).any() or (counts > totals).any():
        raise InputError("expected counts between 0 and the number of samples")
    return counts.astype(np.int64), totals.astype(np.int64)
