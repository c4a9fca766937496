"""The certificate of Lee et al. (2019) for noise on discrete features, which the paper compares.

Their noise keeps each feature with probability kappa and otherwise replaces it by one of the
other num_values - 1 values, uniformly: each with probability
beta = (1 - kappa) / (num_values - 1). Every channel of a pixel is a feature of its own. The
smoothed classifier gives the class that the base classifier gives most noisy inputs.

Theorem (Lee, Yuan, Chang and Jaakkola 2019; Neyman and Pearson 1933). Let x and x' differ in r
features, and let a class have probability p under noise around x. The least probability it can
have around x', over all base classifiers, is that of the classifier that gives the class to noisy
inputs z in falling order of the ratio Pr[z | x] / Pr[z | x'], until their probability around x
is p.

Proof. Features where x and x' agree have the same noise around both and cancel from the ratio. Of
the r others let u show the value of x, v that of x', the rest another value. The ratio is
(kappa / beta)^(u - v). Take the classifier h of the theorem, with ratio t where it stops, and any
other f with probability p around x. Where h takes more of z than f does, the ratio is at least t;
where it takes less, at most t. Hence t (h - f) Pr[z | x'] <= (h - f) Pr[z | x] for every z,
and summing over z gives t (h(x') - f(x')) <= p - p = 0.  QED

So radius r is certified if what is left at x' exceeds 1/2. The noise around x' is that around x
with u and v exchanged: the regions u - v = m and u - v = -m exchange their probabilities. With more
changed features the least probability does not grow, since a classifier may ignore a feature.

All of it is computed in exact fractions; a keep probability given as a float stands for exactly
that float. The tightness of the bound is part of the theorem, so a smaller radius than the
ablation's is not for want of a better proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError, as_integer
from sparsecert.theory.shift import HALF, round_up


def check_noise(keep_probability: float | Fraction, num_values: int) -> tuple[Fraction, int]:
    """Both numbers, exactly.

    Raises:
        InputError: unless num_values >= 2 and 1 / num_values < keep_probability < 1. At
            1 / num_values the noisy input says nothing about the input.
    """
    num_values = as_integer(num_values, "num_values")
    if num_values < 2:
        raise InputError(f"expected num_values (|S|) to be at least 2, got {num_values}")
    if not Fraction(1, num_values) < keep_probability < 1:
        raise InputError(
            f"expected keep_probability (kappa) above 1 / num_values = {1 / num_values:g} "
            f"and below 1, got {keep_probability}"
        )
    return Fraction(keep_probability), num_values


def exact_thresholds(keep_probability: float | Fraction, num_values: int) -> Iterator[Fraction]:
    """Yield, for r = 0, 1, ..., the probability at x above which r changed features are certified.

    The thresholds rise towards 1 without end.
    """
    kept, num_values = check_noise(keep_probability, num_values)
    one_other = (1 - kept) / (num_values - 1)
    # Integers over a common denominator: the probabilities of `changed` features have its power.
    scale = math.lcm(kept.denominator, one_other.denominator)
    plus, minus = int(kept * scale), int(one_other * scale)
    neither = scale - plus - minus
    yield HALF
    regions, total = [1], 1  # around x, by u - v from -changed to changed
    while True:
        padded = [0, 0, *regions, 0, 0]
        regions = [
            plus * padded[m] + neither * padded[m + 1] + minus * padded[m + 2]
            for m in range(len(regions) + 2)
        ]
        total *= scale
        spent_here = spent_there = 0
        # Exchanging x and x' exchanges u and v, so around x' the list is read from its other end.
        for here, there in zip(reversed(regions), regions, strict=True):
            if 2 * (spent_there + there) >= total and there:
                missing = Fraction(total - 2 * spent_there, 2 * there)
                yield (spent_here + missing * here) / total
                break
            spent_here, spent_there = spent_here + here, spent_there + there


def noise_thresholds(
    keep_probability: float | Fraction, num_values: int, highest: float, num_features: int | None
) -> NDArray[np.float64]:
    """`exact_thresholds`, rounded up, to the first that is not below the highest probability.

    Args:
        keep_probability: kappa.
        num_values: |S|.
        highest: bounds beyond it do not come up; at 1 only `num_features` makes an end.
        num_features: d, which no radius exceeds.
    """
    thresholds: list[float] = []
    for threshold in exact_thresholds(keep_probability, num_values):
        thresholds.append(round_up(threshold))
        if thresholds[-1] >= highest or len(thresholds) - 1 == num_features:
            break
    return np.array(thresholds)


def ablation_information(num_retained: int, num_values: int) -> float:
    """Bits that an ablated input keeps of a uniformly random input (equation 20 of the paper)."""
    return num_retained * math.log2(num_values)


def noise_information(num_features: int, keep_probability: float, num_values: int) -> float:
    """Bits that a noisy input keeps of a uniformly random input (equation 21 of the paper)."""
    kept, num_values = check_noise(keep_probability, num_values)
    kappa, lost = float(kept), float(1 - kept)
    entropy = -kappa * math.log2(kappa) - lost * math.log2(lost / (num_values - 1))
    return num_features * (math.log2(num_values) - entropy)
