"""Tests of a share that may look at the ballots as often as they like: boundaries of counts.

Ballots come in a stream, X_1, X_2, ... with X_t = 1 where ballot t is for the class, independent
with Pr[X_t = 1] = q. S_n is the sum of the first n. There is a budget of n ballots, and the count
is looked at after n_1 < n_2 < ... < n_K = n of them (`look_schedule`: fixed by n alone). A
*boundary* of a share theta is a list of counts b_1, ..., b_K, and the claim "q > theta" is made
once S_{n_i} >= b_i at any look i.

Statement 1. Let P_q be the probability that S_{n_i} >= b_i for at least one i. P_q grows with q.
So if P_theta <= alpha, the claim is made with probability at most alpha whenever it is false.

Proof. Let U_1, U_2, ... be uniform on [0, 1] and X_t = [U_t <= q]. For q <= q' every S_n is at
most what it is for q', so whoever crosses the boundary under q crosses it under q'. If the claim
is false, q <= theta, so P_q <= P_theta <= alpha.  QED

Statement 2. The same holds for whoever stops looking early, for whatever reason: by a rule that
has seen all counts of this class and any other, by the clock, or by hand.

Proof. What is claimed by then is claimed at one of the K looks by whoever goes on to the end. The
event that some look crosses is about X_1, ..., X_n alone, which are there whether or not they are
counted.  QED  (So stopping can lose claims and cannot make a wrong one.)

The level alpha is spent in proportion to the ballots: by look i the boundary has been crossed with
probability at most alpha n_i / n at q = theta. (Lan and DeMets 1983, whose spending functions need
no formula for the boundary; here the walk is binomial and its law is computed, not approximated.)
Each b_i is the least count that keeps to this, so what the integers leave unspent at one look is
there for the next. The last boundary is hardly above that of a single look at n, as a walk that
crosses early would mostly be above it at the end as well: for theta = 1/2, n = 10 000, alpha =
0.05 it is 5 100 ballots in place of 5 083.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sparsecert.errors import InputError, check_alpha
from sparsecert.theory.confidence import clopper_pearson_upper

# Probabilities are sums of products of positive numbers, each within about 1e-12 of its value.
# Every one that is compared with alpha is first made larger by this much, so that rounding cannot
# help; a test checks it against exact fractions.
_OUTWARD = 1 + 2.0**-30
# Of alpha, what is given away at each look for counts too unlikely to be followed.
_UNFOLLOWED = 2.0**-30
# How implausible a share must be for stopping to rule it out. Smaller: fewer radii lost, more
# ballots. On MNIST, k = 45, one pixel of radius is lost on one image in twenty-five or fewer.
_IMPLAUSIBLE = 0.05
_UNDERFLOW = 1e-290  # below it floating-point numbers lose digits, so nothing is spent as finely


def spent_levels(looks: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """`(looks,)` what each look may spend where errors are added up; in all at most alpha."""
    check_alpha(alpha, above=0)
    ballots = np.diff(looks, prepend=0)
    return np.asarray(alpha * ballots / looks[-1] / _OUTWARD)


@functools.lru_cache(maxsize=4096)
def crossing_counts(share: float, looks: tuple[int, ...], alpha: float) -> tuple[int, ...]:
    """The boundary of a share: the least count at each look that claims more than it.

    Statement. A binomial walk with probability q <= share reaches one of the counts with
    probability at most alpha; by look i with at most alpha n_i / n.

    Proof. By Statement 1 of this module it is enough to show it for q = share. The recursion
    follows u_i(s) = Pr[S_{n_i} = s, and no boundary reached before look i]: the walks that have
    not crossed, convolved with the binomial law of the ballots between two looks. The walks that
    cross at look i for the first time have probability sum of u_i(s) over s >= b_i; b_i is the
    least count for which this, and all that was spent before, is at most alpha n_i / n. Counts
    whose probability is negligible are not followed: they are booked as if they had crossed, which
    can only raise b_i. All terms are positive, so no digits cancel, and sums are rounded up by
    more than their error. QED

    With one look it is the least count whose Clopper-Pearson bound exceeds the share.

    Args:
        share: theta, above 0; no share exceeds 1.
        looks: rising numbers of ballots.
        alpha: probability of reaching the boundary.

    Returns:
        A count for each look; one more than there are ballots where none is enough.

    Raises:
        InputError: for a share or alpha out of range, or looks that do not rise.
    """
    check_alpha(alpha, above=0)
    if not 0 < share <= 1:
        raise InputError(f"expected a share above 0 and up to 1, got {share}")
    if not looks or looks[0] < 1 or any(a >= b for a, b in itertools.pairwise(looks)):
        raise InputError(f"expected rising numbers of ballots, from 1 on, got {looks}")
    if share == 1:
        return tuple(look + 1 for look in looks)
    negligible = max(alpha * _UNFOLLOWED, _UNDERFLOW)
    alive, least = np.ones(1), 0  # probabilities of the counts from `least` on
    counted, spent, boundary = 0, 0.0, []
    for look in looks:
        more = look - counted
        low, high = _followed(more, share, negligible)
        alive = np.convolve(alive, stats.binom.pmf(np.arange(low, high + 1), more, share))
        least, counted, spent = least + low, look, spent + 3 * negligible
        at_least = np.cumsum(alive[::-1])[::-1] * _OUTWARD
        affordable = np.flatnonzero(at_least <= alpha * (look / looks[-1]) - spent)
        if len(affordable):
            first = int(affordable[0])
            boundary.append(least + first)
            spent += float(at_least[first])
            alive = alive[:first]
        elif spent <= alpha * (look / looks[-1]):
            boundary.append(least + len(alive))  # counts from there on are booked already
        else:
            boundary.append(look + 1)
        dropped = int(np.searchsorted(np.cumsum(alive), negligible, side="right"))
        spent += negligible
        alive, least = alive[dropped:], least + dropped
        if not len(alive):
            alive = np.zeros(1)
    return tuple(min(int(count), look + 1) for count, look in zip(boundary, looks, strict=True))


def _followed(ballots: int, share: float, negligible: float) -> tuple[int, int]:
    """The counts of so many ballots outside which lies less than 3 times what is negligible."""
    low = int(stats.binom.ppf(negligible, ballots, share)) - 1
    high = int(stats.binom.isf(negligible, ballots, share)) + 1
    return max(low, 0), min(high, ballots)


def crossing_table(
    thresholds: NDArray[np.float64], looks: NDArray[np.int64], alpha: float
) -> NDArray[np.int64]:
    """`(thresholds, looks)` boundaries of rising shares, none below that of a smaller share.

    Raising a boundary only makes it harder to reach, so Statement 1 holds for each of them.

    Args:
        thresholds: rising shares.
        looks: rising numbers of ballots.
        alpha: probability of reaching each boundary.
    """
    schedule = tuple(map(int, looks))
    table = [crossing_counts(float(share), schedule, alpha) for share in thresholds]
    if not table:
        return np.empty((0, len(looks)), dtype=np.int64)
    return np.maximum.accumulate(np.array(table, dtype=np.int64), axis=0)


def highest_plausible(counts: NDArray[np.int64], looks: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the counts may be expected to grow to by the last look, at best.

    The ballots that remain are counted at the largest share that those before leave plausible.

    Args:
        counts: `(batch, looks)` ballots for an answer.
        looks: numbers of ballots, the budget last.
    """
    share = clopper_pearson_upper(counts, looks, _IMPLAUSIBLE)
    return np.asarray(np.ceil(counts + (looks[-1] - looks) * share), dtype=np.int64)
