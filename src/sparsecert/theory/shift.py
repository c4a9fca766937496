"""Theorem 1: how far an attacker can move the share of votes of a class.

Theorem 1 (Levine & Feizi 2020). Let x and x' differ in at most rho of d features, and let T be a
uniformly random k-subset of the features. For every class i,

    |p_i(x) - p_i(x')| <= Delta(d, k, rho) = 1 - C(d - rho, k) / C(d, k).

Proof. Let S be the set of features where x and x' differ, |S| <= rho. If T misses S, then
ABLATE(x, T) = ABLATE(x', T) and the base classifier answers the same. So the two events
"f(ABLATE(x, T)) = i" and "f(ABLATE(x', T)) = i" differ only where T meets S, and their
probabilities differ by at most Pr[T meets S] = 1 - C(d - |S|, k) / C(d, k) <= Delta.  QED

The argument holds for *any* event about the answer, not only for "the answer is i".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.errors import InputError, as_integer

HALF = Fraction(1, 2)


def check_subset_size(num_features: int, num_retained: int) -> tuple[int, int]:
    """Both numbers as Python integers, which do not overflow as NumPy's do.

    Raises:
        InputError: unless they are integers with ``1 <= num_retained <= num_features``.
    """
    num_features = as_integer(num_features, "num_features")
    num_retained = as_integer(num_retained, "num_retained")
    if num_features < 1:
        raise InputError(f"expected num_features (d) to be at least 1, got {num_features}")
    if not 1 <= num_retained <= num_features:
        raise InputError(
            f"expected num_retained (k) between 1 and num_features (d = {num_features}), "
            f"got {num_retained}"
        )
    return num_features, num_retained


def exact_shifts(d: int, k: int) -> Iterator[Fraction]:
    """Yield Delta(d, k, rho) for rho = 0, 1, ..., d as exact fractions."""
    d, k = check_subset_size(d, k)
    total = math.comb(d, k)
    missed = total  # C(d - rho, k): the retained sets that miss all rho changed features
    for rho in range(d + 1):
        yield 1 - Fraction(missed, total)
        missed = missed * (d - rho - k) // (d - rho) if rho <= d - k else 0


@overload
def ablation_shift(d: int, k: int, rho: int) -> float: ...
@overload
def ablation_shift(d: int, k: int, rho: ArrayLike) -> float | NDArray[np.float64]: ...
def ablation_shift(d: int, k: int, rho: ArrayLike) -> float | NDArray[np.float64]:
    """Delta(d, k, rho) of Theorem 1: the share of retained sets that rho features can touch.

    Args:
        d: number of features.
        k: number of retained features, between 1 and d.
        rho: number of changed features, an integer or an array of integers in 0..d.

    Returns:
        A float for a single rho, else an array of rho's shape. Binomial coefficients are exact
        integers and the quotient is rounded once, to the nearest float.

    Raises:
        InputError: if k is not in 1..d or a rho is not an integer in 0..d.
    """
    d, k = check_subset_size(d, k)
    rhos = np.asarray(rho)
    if not np.issubdtype(rhos.dtype, np.integer):
        raise InputError(f"expected rho to be an integer or integers, got dtype {rhos.dtype}")
    if rhos.size and not (rhos.min() >= 0 and rhos.max() <= d):
        raise InputError(
            f"expected rho between 0 and d = {d}, got values from {rhos.min()} to {rhos.max()}"
        )
    total = math.comb(d, k)
    values, inverse = np.unique(rhos, return_inverse=True)
    # Integer true division rounds correctly whatever the size of the integers.
    shifts = np.array([(total - math.comb(d - int(r), k)) / total for r in values], dtype=float)
    if rhos.ndim == 0:
        return float(shifts[0])
    return shifts[inverse].reshape(rhos.shape)


def round_up(value: Fraction) -> float:
    """The smallest float that is at least `value`."""
    nearest = value.numerator / value.denominator
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def majority_thresholds(d: int, k: int) -> NDArray[np.float64]:
    """Thresholds of Corollary 1: entry rho is 1/2 + Delta(d, k, rho), rounded up.

    A vote share *above* entry rho certifies rho features. Entries that no share in [0, 1] can
    exceed are left out, so the last index is the largest radius that can be certified at all.
    """
    thresholds = []
    for shift in exact_shifts(d, k):
        if shift >= HALF:
            break
        thresholds.append(round_up(HALF + shift))
    return np.array(thresholds)


def margin_thresholds(d: int, k: int) -> NDArray[np.float64]:
    """Thresholds of Corollary 2: entry rho is 2 Delta(d, k, rho), rounded up.

    A lead in vote share *above* entry rho certifies rho features.
    """
    thresholds = []
    for shift in exact_shifts(d, k):
        if shift >= HALF:
            break
        thresholds.append(round_up(2 * shift))
    return np.array(thresholds)
