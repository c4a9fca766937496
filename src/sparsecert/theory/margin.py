"""Corollary 2 of Levine and Feizi (2020): certify while the class keeps ahead of every rival."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import check_alpha
from sparsecert.theory.boundaries import highest_plausible, spent_levels
from sparsecert.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from sparsecert.theory.majority import Certified, largest_certified


def margin_certificate(
    votes: NDArray[np.int64],
    rival: NDArray[np.int64],
    total: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> Certified:
    """Corollary 2, from a fixed number of samples and with three classes or more.

    Statement. If p_low <= p_c(x), p_up_j >= p_j(x) for every rival j, and
    p_low - Delta > max_j p_up_j + Delta, then g(x') = c for every x' within rho units of x.

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

    Args:
        votes: `(batch,)` votes for the class to certify, chosen from *other* ablations.
        rival: `(batch,)` those of the strongest rival. An upper bound grows with the count, so it
            has the least lead.
        total: `(batch,)` numbers of ablations.
        thresholds: of leads, rising, by radius; for random ablation 2 Delta(d, k, rho).
        alpha: error probability of each certificate.
    """
    check_alpha(alpha)
    lower_bound = clopper_pearson_lower(votes, total, alpha / 2)
    lead = margin_lead(lower_bound, rival, total, alpha)
    return Certified.once(largest_certified(thresholds, lead), lower_bound)


def margin_lead(
    lower_bound: NDArray[np.float64],
    rival: NDArray[np.int64],
    total: NDArray[np.int64],
    alpha: float,
) -> NDArray[np.float64]:
    """Lower bounds on p_c - p_j, from a lower bound on p_c and the votes of rival j.

    Args:
        lower_bound: on p_c, of any shape.
        rival: votes of j.
        total: votes.
        alpha: half of it goes to p_up_j.
    """
    upper_bound = np.minimum(
        np.nextafter(1 - lower_bound, math.inf), clopper_pearson_upper(rival, total, alpha / 2)
    )
    # The subtraction may have been rounded up.
    return np.asarray(np.nextafter(lower_bound - upper_bound, -math.inf))


def margin_by_look(
    votes: NDArray[np.int64],
    rival: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> Certified:
    """Corollary 2 where counts are looked at as they grow, with three classes or more.

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
        votes: `(batch, looks)` first choices for the class.
        rival: `(batch, looks)` those for its strongest rival.
        reached: `(batch, looks)` whether the look was reached.
        looks: numbers of ballots, the budget last.
        thresholds: rising, by radius: a lead above entry rho certifies rho units.
        alpha: error probability of each certificate.

    Returns:
        Radii, and lower bounds on the share of the class.
    """
    levels = spent_levels(looks, alpha)
    lower_bound, lead = np.zeros(votes.shape), np.full(votes.shape, -1.0)
    for i, total in enumerate(looks):
        bound = np.where(
            reached[:, i], clopper_pearson_lower(votes[:, i], total, float(levels[i]) / 2), 0.0
        )
        lower_bound[:, i] = bound if i == 0 else np.maximum(bound, lower_bound[:, i - 1])
        lead[:, i] = margin_lead(
            lower_bound[:, i], rival[:, i], np.asarray(total), float(levels[i])
        )
    lead = np.maximum.accumulate(np.where(reached, lead, -1.0), axis=1)
    radius = largest_certified(thresholds, lead)
    # Votes that are not for the rival can be for the class, and the other way round.
    total, last = np.full(votes.shape, looks[-1]), float(levels[-1])
    likely = highest_plausible(votes, looks)
    behind = np.minimum(total - highest_plausible(looks - rival, looks), total - likely)
    hoped = margin_lead(clopper_pearson_lower(likely, total, last / 2), behind, total, last)
    futile = hoped <= np.append(thresholds, 2.0)[radius + 1]
    return Certified(radius, lower_bound, reached & futile)
