"""Corollary 1 of Levine and Feizi (2020): certify while a class keeps more than half of the votes.

What a certificate is, for every rule: it reads the votes of n independent ablations of one input x
and answers with a radius rho: the smoothed classifier gives class c to every input that differs
from x in at most rho units. The answer is wrong with probability at most alpha over the ablations.
A radius of -1 says that not even x itself is certified.

Rules compare a share of ballots, or a lead, with the thresholds of a design: those of random
ablation are in `theory.shift`, those of noise in `theory.lee2019`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.theory.boundaries import crossing_table, highest_plausible
from sparsecert.theory.confidence import clopper_pearson_lower

# Beyond so many thresholds only some are tested sequentially, evenly spread, and radii between are
# not given: there they lie closer than any budget could tell apart.
_MOST_THRESHOLDS = 256


@dataclass(frozen=True)
class Certified:
    """What is certified by each look; the number of looks is 1 where samples are fixed.

    Attributes:
        radius: `(batch, looks)` integers, in units, never falling; -1 where nothing is certified.
        lower_bound: `(batch, looks)` lower confidence bounds on what the rule certifies by.
        decided: `(batch, looks)` whether no larger radius is expected from going on.
    """

    radius: NDArray[np.int64]
    lower_bound: NDArray[np.float64]
    decided: NDArray[np.bool_]

    @classmethod
    def once(cls, radius: NDArray[np.int64], lower_bound: NDArray[np.float64]) -> Certified:
        """Of `(batch,)` certificates from a single look, after which there is nothing to come."""
        decided = np.ones((len(radius), 1), dtype=np.bool_)
        return cls(radius[:, None], lower_bound[:, None], decided)


def largest_certified(thresholds: NDArray[np.float64], value: ArrayLike) -> NDArray[np.int64]:
    """The largest radius whose threshold each value exceeds; -1 where there is none.

    Args:
        thresholds: rising, by radius.
        value: (bounds on) shares or leads, of any shape.
    """
    known = np.nan_to_num(np.asarray(value, dtype=np.float64), nan=-math.inf)
    return np.asarray(np.searchsorted(thresholds, known, side="left") - 1, dtype=np.int64)


def majority_certificate(
    votes: NDArray[np.int64],
    total: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> Certified:
    """Corollary 1, from a fixed number of samples.

    Statement. If p_low <= p_c(x) and p_low - Delta(d, k, rho) > 1/2, then g(x') = c for every x'
    within rho units of x.

    Proof. By Theorem 1, p_c(x') >= p_c(x) - Delta >= p_low - Delta > 1/2, so no other class
    reaches p_c(x').  QED  The only random event is p_low <= p_c(x), for the one class c that was
    chosen without looking at these votes: it fails with probability at most alpha, with no union
    over classes.

    Args:
        votes: `(batch,)` votes for the class to certify, chosen from *other* ablations.
        total: `(batch,)` numbers of ablations.
        thresholds: of shares, rising, by radius; for random ablation 1/2 + Delta(d, k, rho).
        alpha: error probability of each certificate.
    """
    lower_bound = clopper_pearson_lower(votes, total, alpha)
    return Certified.once(largest_certified(thresholds, lower_bound), lower_bound)


def share_certificate(
    wins: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
    top: int = 1,
) -> Certified:
    """Majority and pairwise where counts are looked at as they grow: shares and their thresholds.

    A rival passes a threshold once its count reaches the threshold's boundary, at any look so far.
    The radius is the largest whose threshold every rival has passed. Majority asks one question,
    for all rivals at once.

    Statement. With probability at least 1 - alpha no look certifies more than R, the largest rho
    with q_j > threshold(rho) for every rival j.

    Proof. Let j* be a rival for which this fails at R + 1, so that q_j* <= threshold(R + 1).
    Neither depends on the ballots. Boundaries rise with the threshold, so whoever certifies more
    than R has seen the wins over j* reach the boundary of threshold(R + 1), or a higher one. By
    the statement of `crossing_counts` this happens with probability at most alpha.  QED   There is
    no union over rivals (intersection-union; Berger 1982), nor over radii, nor over looks.

    For the top K of the pairwise rule all but K - 1 rivals are asked to pass, at alpha / K each;
    the proof is that of `theory.pairwise.top_pairwise_certificate`, with "reaches a boundary at
    any look" for "has a wrong bound".

    Where only some thresholds are tested, R + 1 is replaced by the next tested radius above R.

    Counting is decided if the class would still be expected to miss the next threshold at the last
    look with the largest share that its votes leave plausible. That is a guess, and it may be: it
    decides when to stop, which can only lose radii (`theory.boundaries`, Statement 2).

    Args:
        wins: `(batch, looks, rivals)` ballots for the class, head to head against each rival; with
            one rival, first choices.
        reached: `(batch, looks)` whether the look was reached.
        looks: numbers of ballots, the budget last.
        thresholds: rising, by radius: a share above entry rho certifies rho units.
        alpha: error probability of each certificate.
        top: K.

    Returns:
        Radii; as lower bound the largest tested threshold that every rival has passed (all but
        K - 1), 0 where there is none.
    """
    radii = _tested(len(thresholds))
    table = crossing_table(thresholds[radii], looks, alpha / top)
    passed = np.empty(wins.shape, dtype=np.int64)  # how many thresholds, the smallest first
    for i in range(wins.shape[1]):
        passed[:, i] = np.searchsorted(table[:, i], wins[:, i], side="right")
    passed = np.maximum.accumulate(np.where(reached[:, :, None], passed, 0), axis=1)
    decisive = min(top, wins.shape[2]) - 1
    least = np.sort(passed, axis=2).take(decisive, axis=2)
    next_count = np.append(table[:, -1], looks[-1] + 1)[least]
    # Of the rivals that hold the class back, the strongest has the fewest wins over it.
    hardest = np.where(passed == least[:, :, None], wins, looks[-1]).min(axis=2)
    futile = highest_plausible(np.minimum(hardest, looks), looks) < next_count
    return Certified(
        radius=np.append(-1, radii)[least],
        lower_bound=np.append(0.0, thresholds[radii])[least],
        decided=reached & futile,
    )


def _tested(num_thresholds: int) -> NDArray[np.int64]:
    """The radii whose thresholds are tested: all, or evenly spread from the first to the last."""
    count = min(num_thresholds, _MOST_THRESHOLDS)
    return np.unique(np.linspace(0, num_thresholds - 1, count).astype(np.int64))
