"""The certificates: Corollaries 1 and 2 of Levine and Feizi (2020), from counts to radii.

Both read the votes of n independent ablations of one image x and answer with a radius rho: the
smoothed classifier gives class c to every image that differs from x in at most rho features. The
answer is wrong with probability at most alpha over the ablations. A radius of -1 says that not
even x itself is certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.errors import InputError, check_alpha
from sparsecert.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from sparsecert.theory.shift import majority_thresholds, margin_thresholds

_MOST_SAMPLES = 2**40  # nobody draws more


@dataclass(frozen=True)
class CertifiedRadius:
    """Radii of a batch, in features, and the confidence bounds on p_c behind them.

    Attributes:
        radius: `(batch,)` integers, -1 where nothing is certified.
        lower_bound: `(batch,)` lower confidence bounds on the vote share of the certified class.
    """

    radius: NDArray[np.int64]
    lower_bound: NDArray[np.float64]


def largest_certified(thresholds: NDArray[np.float64], value: ArrayLike) -> NDArray[np.int64]:
    """The largest radius whose threshold each value exceeds; -1 where there is none.

    Args:
        thresholds: rising, by radius: `majority_thresholds` for (bounds on) the share of the
            class, `margin_thresholds` for its lead over the strongest rival.
        value: shares or leads, of any shape.
    """
    known = np.nan_to_num(np.asarray(value, dtype=np.float64), nan=-math.inf)
    return np.asarray(np.searchsorted(thresholds, known, side="left") - 1, dtype=np.int64)


def majority_radius(
    counts: NDArray[np.int64], label: NDArray[np.int64], d: int, k: int, alpha: float
) -> CertifiedRadius:
    """Corollary 1: certify while the class keeps more than half of the votes.

    Statement. If p_low <= p_c(x) and p_low - Delta(d, k, rho) > 1/2, then g(x') = c for every x'
    within rho features of x.

    Proof. By Theorem 1, p_c(x') >= p_c(x) - Delta >= p_low - Delta > 1/2, so no other class
    reaches p_c(x').  QED  The only random event is p_low <= p_c(x), for the one class c that was
    chosen without looking at `counts`: it fails with probability at most alpha, with no union
    over classes.

    Args:
        counts: `(batch, classes)` votes; each row sums to the number of ablations.
        label: `(batch,)` class to certify, chosen from *other* ablations.
        d: number of features.
        k: number of retained features.
        alpha: error probability of each certificate.
    """
    votes, total = votes_and_total(counts, label)
    lower_bound = clopper_pearson_lower(votes, total, alpha)
    return CertifiedRadius(largest_certified(majority_thresholds(d, k), lower_bound), lower_bound)


def margin_radius(
    counts: NDArray[np.int64], label: NDArray[np.int64], d: int, k: int, alpha: float
) -> CertifiedRadius:
    """Corollary 2: certify while the class keeps ahead of every rival.

    Statement. If p_low <= p_c(x), p_up_j >= p_j(x) for every rival j, and
    p_low - Delta > max_j p_up_j + Delta, then g(x') = c for every x' within rho features of x.

    Proof. By Theorem 1, p_c(x') >= p_low - Delta > p_up_j + Delta >= p_j(x').  QED

    Each rival j gets its own pair of bounds, p_low and p_up_j, with half of alpha each, and the
    radius is the least over the rivals. It is wrong with probability at most alpha, with no union
    over rivals.

    Proof. Let R be the largest rho with p_c(x) - p_j(x) > 2 Delta for every j, and j* a rival for
    which this fails at R + 1; neither depends on the votes that are counted. To certify more than
    R takes p_low - p_up_j* > 2 Delta(d, k, R + 1) >= p_c - p_j*, so one of the two bounds is wrong:
    probability alpha / 2 each.  QED  (An intersection-union test: Berger 1982.)

    Where p_low holds, p_j <= 1 - p_low holds as well, so min(p_up_j, 1 - p_low) is used for a
    rival: the radius is therefore never below that of Corollary 1 at alpha / 2. A single rival is
    bounded by 1 - p_low alone, so with two classes p_low gets all of alpha and the rule is
    Corollary 1.

    Arguments are those of `majority_radius`.
    """
    check_alpha(alpha)
    votes, total = votes_and_total(counts, label)
    rivals = counts.copy()
    np.put_along_axis(rivals, label[:, None], -1, axis=1)
    several = counts.shape[1] > 2
    lower_bound = clopper_pearson_lower(votes, total, alpha / 2 if several else alpha)
    # A rival's upper bound grows with its count, so the least lead is over the strongest.
    lead = margin_lead(lower_bound, rivals.max(axis=1), total, alpha if several else None)
    return CertifiedRadius(largest_certified(margin_thresholds(d, k), lead), lower_bound)


def margin_lead(
    lower_bound: NDArray[np.float64],
    rival: NDArray[np.int64],
    total: NDArray[np.int64],
    alpha: float | None,
) -> NDArray[np.float64]:
    """Lower bounds on p_c - p_j, from a lower bound on p_c and the votes of rival j.

    Args:
        lower_bound: on p_c, of any shape.
        rival: votes of j.
        total: votes.
        alpha: half of it goes to p_up_j; None for the only rival, bounded by 1 - p_low alone.
    """
    upper_bound = np.nextafter(1 - lower_bound, math.inf)
    if alpha is not None:
        upper_bound = np.minimum(upper_bound, clopper_pearson_upper(rival, total, alpha / 2))
    # The subtraction may have been rounded up.
    return np.asarray(np.nextafter(lower_bound - upper_bound, -math.inf))


def fewest_samples(enough: Callable[[int], bool]) -> int | None:
    """The smallest number that is enough, by bisection; None if 2^40 are not."""
    if not enough(_MOST_SAMPLES):
        return None
    too_few, many = 0, _MOST_SAMPLES
    while many - too_few > 1:
        middle = (too_few + many) // 2
        too_few, many = (too_few, middle) if enough(middle) else (middle, many)
    return many


def votes_and_total(
    counts: NDArray[np.int64], label: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`(batch,)` votes of the labels, and all votes; raises `InputError` for shapes or labels."""
    check_labels(counts, label)
    votes = np.take_along_axis(counts, label[:, None], axis=1)[:, 0]
    return votes, counts.sum(axis=1)


def check_labels(counts: NDArray[np.int64], label: NDArray[np.int64]) -> None:
    """Raise `InputError` unless there is one label for each row of counts by class."""
    if counts.ndim != 2 or counts.shape[1] < 2:
        raise InputError(
            f"expected counts of shape (batch, classes) with 2 classes or more, got {counts.shape}"
        )
    if label.shape != counts.shape[:1]:
        raise InputError(f"expected one label for each of {len(counts)} rows, got {label.shape}")
    if label.size and not (label.min() >= 0 and label.max() < counts.shape[1]):
        raise InputError(
            f"expected labels between 0 and {counts.shape[1] - 1}, "
            f"got values from {label.min()} to {label.max()}"
        )
