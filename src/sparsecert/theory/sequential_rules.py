"""Certificates by look: the three rules where counts are looked at as they grow.

All answer for every look i with what is certified by then, from counts at looks 1, ..., i, and
with whether counting has settled the matter: whether a larger radius is out of reach. The answer
at *any* look is wrong with probability at most alpha, so counting may stop at any of them
(`theory.sequential`, Statement 2). The looks, n_1 < ... < n_K = n, are fixed beforehand.

Settled means: if the class had the largest share that its votes leave plausible, the last look
would still be expected to miss the next threshold. That is a guess, and it may be: it decides when
to stop, which can only lose radii.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from sparsecert.theory.radius import margin_lead
from sparsecert.theory.sequential import crossing_table, spent_levels

# How implausible a share must be for stopping to rule it out. Smaller: fewer radii lost, more
# ballots. On MNIST, k = 45, one pixel of radius is lost on one image in twenty-five or fewer.
_IMPLAUSIBLE = 0.05
# Beyond so many thresholds only some are tested, evenly spread, and radii between are not given:
# there they lie closer than any budget could tell apart.
_MOST_THRESHOLDS = 256


@dataclass(frozen=True)
class CertifiedByLook:
    """What is certified by each look.

    Attributes:
        radius: `(batch, looks)` integers, in features, never falling; -1 where nothing is.
        lower_bound: `(batch, looks)` lower confidence bounds on what the rule certifies by.
        settled: `(batch, looks)` whether no larger radius is expected from going on.
    """

    radius: NDArray[np.int64]
    lower_bound: NDArray[np.float64]
    settled: NDArray[np.bool_]


def share_certificate(
    wins: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> CertifiedByLook:
    """Majority and pairwise: shares of ballots that must exceed 1/2 + Delta(rho).

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

    Where only some thresholds are tested, R + 1 is replaced by the next tested radius above R.

    Args:
        wins: `(batch, m, rivals)` ballots for the class at the first m looks, head to head against
            each rival; with one rival, first choices.
        reached: `(batch, m)` whether the look was reached.
        looks: `(K,)` numbers of ballots of all looks, the budget last.
        thresholds: rising, by radius: a share above entry rho certifies rho features.
        alpha: error probability of each certificate.

    Returns:
        Radii; as lower bound the largest tested threshold that every rival has passed, 0 where
        there is none.
    """
    radii = _tested(len(thresholds))
    table = crossing_table(thresholds[radii], looks, alpha)
    passed = np.empty(wins.shape, dtype=np.int64)  # how many thresholds, the smallest first
    for i in range(wins.shape[1]):
        passed[:, i] = np.searchsorted(table[:, i], wins[:, i], side="right")
    passed = np.maximum.accumulate(np.where(reached[:, :, None], passed, 0), axis=1)
    least = passed.min(axis=2)
    next_count = np.append(table[:, -1], looks[-1] + 1)[least]
    # Of the rivals that hold the class back, the strongest has the fewest wins over it.
    hardest = np.where(passed == least[:, :, None], wins, looks[-1]).min(axis=2)
    hopeless = highest_plausible(np.minimum(hardest, looks[: wins.shape[1]]), looks) < next_count
    return CertifiedByLook(
        radius=np.append(-1, radii)[least],
        lower_bound=np.append(0.0, thresholds[radii])[least],
        settled=reached & hopeless,
    )


def margin_certificate(
    votes: NDArray[np.int64],
    rival: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> CertifiedByLook:
    """Margin, with three classes or more: leads that must exceed 2 Delta(rho).

    Look i has the level a_i, and the a_i add up to at most alpha. At each look the class gets a
    lower bound and each rival an upper bound, with a_i / 2 each, as in Corollary 2; the highest
    lower bound so far is used.

    Statement. With probability at least 1 - alpha no look certifies more than R, the largest rho
    with p_c - p_j > 2 Delta(rho) for every rival j.

    Proof. Let j* be a rival for which this fails at R + 1. To certify more than R at look i takes
    max over h <= i of p_low(h), less p_up_j*(i), above 2 Delta(R + 1) >= p_c - p_j*. So one of
    p_low(1), ..., p_low(K), p_up_j*(1), ..., p_up_j*(K) is wrong, which has probability at most
    the sum of a_i / 2 + a_i / 2.  QED   (A union over looks, as p_c - p_j is not the share of one
    event.)

    Args:
        votes: `(batch, m)` first choices for the class at the first m looks.
        rival: `(batch, m)` those for its strongest rival. An upper bound grows with the count, so
            it has the least lead.
        reached: `(batch, m)` whether the look was reached.
        looks: `(K,)` numbers of ballots of all looks, the budget last.
        thresholds: rising, by radius: a lead above entry rho certifies rho features.
        alpha: error probability of each certificate.

    Returns:
        Radii, and lower bounds on the share of the class.
    """
    levels = spent_levels(looks, alpha)
    totals = looks[: votes.shape[1]]
    lower_bound, lead = np.zeros(votes.shape), np.full(votes.shape, -1.0)
    for i, total in enumerate(totals):
        bound = np.where(
            reached[:, i], clopper_pearson_lower(votes[:, i], total, float(levels[i]) / 2), 0.0
        )
        lower_bound[:, i] = bound if i == 0 else np.maximum(bound, lower_bound[:, i - 1])
        lead[:, i] = margin_lead(
            lower_bound[:, i], rival[:, i], np.asarray(total), float(levels[i])
        )
    lead = np.maximum.accumulate(np.where(reached, lead, -1.0), axis=1)
    radius = np.searchsorted(thresholds, lead, side="left") - 1
    # Votes that are not for the rival can be for the class, and the other way round.
    total, last = np.full(votes.shape, looks[-1]), float(levels[-1])
    likely = highest_plausible(votes, looks)
    behind = np.minimum(total - highest_plausible(totals - rival, looks), total - likely)
    hoped = margin_lead(clopper_pearson_lower(likely, total, last / 2), behind, total, last)
    settled = hoped <= np.append(thresholds, 2.0)[radius + 1]
    return CertifiedByLook(radius, lower_bound, reached & settled)


def _tested(num_thresholds: int) -> NDArray[np.int64]:
    """The radii whose thresholds are tested: all, or evenly spread from the first to the last."""
    count = min(num_thresholds, _MOST_THRESHOLDS)
    return np.unique(np.linspace(0, num_thresholds - 1, count).astype(np.int64))


def highest_plausible(counts: NDArray[np.int64], looks: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the counts may be expected to grow to by the last look, at best.

    The ballots that remain are counted at the largest share that those before leave plausible.

    Args:
        counts: `(batch, m, ...)` ballots for an answer at the first m looks.
        looks: `(K,)` numbers of ballots of all looks, the budget last.
    """
    totals = looks[: counts.shape[1]].reshape(-1, *(1,) * (counts.ndim - 2))
    share = clopper_pearson_upper(counts, totals, _IMPLAUSIBLE)
    return np.asarray(np.ceil(counts + (looks[-1] - totals) * share), dtype=np.int64)
