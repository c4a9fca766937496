"""Corollary 2 of Levine and Feizi (2020): certify while the class keeps ahead of its rivals."""

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
    rivals: NDArray[np.int64],
    total: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> Certified:
    """Corollary 2, from a fixed number of samples and with three classes or more; or the top K.

    The top K by first choices are the classes that fewer than K others reach: p_j >= p_c.

    Statement. c is among the top K of every x' within rho units of x if for every set A of K
    rivals some part B of A has

        |B| (p_c - Delta) - (sum of p_j over j in B) > Delta.

    Proof. Of the ballots at x' a share of at most Delta differs from those at x. So c keeps
    p_c - Delta at least, and what the rivals in B gain is at most Delta together. For all of them
    to reach c takes |B| (p_c - Delta), less what they have. So A does not reach c.  QED

    For K = 1 this is Corollary 2, p_c - Delta > p_j + Delta. (For any K it is the certificate of
    Jia et al., ICLR 2022.) A set of K rivals with larger shares is harder, so that of the K
    largest decides.

    Confidence. p_low has alpha / 2, and each rival its own p_up_j at alpha / (2 K). The radius is
    wrong with probability at most alpha, with no union over the sets of rivals.

    Proof. Let R be the largest rho of the statement, and A* a set of K rivals for which it fails at
    R + 1; neither depends on the votes that are counted. To certify more than R the bounds must
    show it for A* too, so one of p_low and the K bounds of A* is wrong: probability alpha / 2
    and alpha / (2 K) each.  QED  (An intersection-union test: Berger 1982.)

    Where p_low holds, the shares of any rivals add up to at most 1 - p_low, which is used where it
    is less: for K = 1 the radius is therefore never below that of Corollary 1 at alpha / 2. A
    single rival is bounded by 1 - p_low alone, so with two classes p_low gets all of alpha and the
    rule is Corollary 1.

    Args:
        votes: `(batch,)` votes for the class to certify, chosen from *other* ablations.
        rivals: `(batch, K)` those of the K strongest rivals, in any order. An upper bound grows
            with the count, so these have the highest.
        total: `(batch,)` numbers of ablations.
        thresholds: of leads, rising, by radius; for random ablation 2 Delta(d, k, rho).
        alpha: error probability of each certificate.
    """
    check_alpha(alpha)
    lower_bound = clopper_pearson_lower(votes, total, alpha / 2)
    lead = margin_lead(lower_bound, rivals, total, alpha)
    return Certified.once(largest_certified(thresholds, lead), lower_bound)


def margin_lead(
    lower_bound: NDArray[np.float64],
    rivals: NDArray[np.int64],
    total: NDArray[np.int64],
    alpha: float,
) -> NDArray[np.float64]:
    """What is to exceed 2 Delta, from a lower bound on p_c and the votes of K rivals.

    The part B that serves best has the r smallest shares, for some r: it withstands every Delta
    below (r p_c - sum) / (r + 1). Twice the largest of these is p_c - p_j for K = 1.

    Args:
        lower_bound: on p_c, of any shape.
        rivals: votes of the rivals, on a last axis of length K.
        total: votes.
        alpha: half of it goes to the upper bounds.
    """
    top = rivals.shape[-1]
    rest = np.nextafter(1 - lower_bound, math.inf)
    upper_bound = clopper_pearson_upper(rivals, np.asarray(total)[..., None], alpha / (2 * top))
    upper_bound = np.sort(upper_bound, axis=-1).cumsum(axis=-1)
    each = [
        (2 * r * lower_bound - 2 * np.minimum(upper_bound[..., r - 1], rest)) / (r + 1)
        for r in range(1, top + 1)
    ]
    # Rounding, by a few units in the last place of numbers up to K, goes against us.
    return np.asarray(np.nextafter(np.max(each, axis=0), -math.inf) - (top > 1) * top * 2.0**-48)


def margin_by_look(
    votes: NDArray[np.int64],
    rivals: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> Certified:
    """The same where counts are looked at as they grow.

    Look i has the level a_i, and the a_i add up to at most alpha. At each look the class gets a
    lower bound with a_i / 2 and K rivals upper bounds with a_i / (2 K) each; the highest lower
    bound so far is used.

    Statement. With probability at least 1 - alpha no look certifies more than R, the largest rho
    of the statement above.

    Proof. Let A* be a set of K rivals for which it fails at R + 1. To certify more than R at look i
    takes bounds that show it for A*: the highest of p_low(h) over h <= i, and p_up_j(i) for j in
    A*. So one of the p_low(h), or of the p_up_j(i), is wrong, which has probability at most the
    sum of a_i / 2 + a_i / 2.  QED   (A union over looks, as p_c - p_j is not the share of one
    event.)

    Args:
        votes: `(batch, looks)` first choices for the class.
        rivals: `(batch, looks, K)` those for its K strongest rivals at each look.
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
            lower_bound[:, i], rivals[:, i], np.asarray(total), float(levels[i])
        )
    lead = np.maximum.accumulate(np.where(reached, lead, -1.0), axis=1)
    radius = largest_certified(thresholds, lead)
    # Votes that are not for the rival can be for the class, and the other way round.
    total, last = np.full(votes.shape, looks[-1]), float(levels[-1])
    likely = highest_plausible(votes, looks)
    others = highest_plausible(looks - np.moveaxis(rivals, -1, 0), looks)
    behind = np.minimum(total - others, total - likely)
    behind = np.moveaxis(behind, 0, -1)
    hoped = margin_lead(clopper_pearson_lower(likely, total, last / 2), behind, total, last)
    futile = hoped <= np.append(thresholds, 2.0)[radius + 1]
    return Certified(radius, lower_bound, reached & futile)
