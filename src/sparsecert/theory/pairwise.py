"""The pairwise rule: head to head against every rival, over random ablations.

Each ablation T gives a ballot, the base classifier's ranking of the classes. Write q_cj(x) for the
probability, over T, that the ballot ranks c above j; q_cj + q_jc = 1. The smoothed classifier g of
this rule answers with the pairwise winner: the class c with q_cj(x) > 1/2 for every j != c. There
is at most one, since two of them would each be above the other on more than half of the ballots.
Where there is none, g answers with the class of most first choices, and nothing is certified. Over
a fixed family the shares are those of its ballots, counted and not estimated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.ballots import Ballots, Outcome
from sparsecert.theory.majority import Certified, majority_certificate


def pairwise_certificate(
    wins: NDArray[np.int64],
    total: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
) -> Certified:
    """Certify while the class stays above every rival on more than half of the ballots.

    Statement. If q_cj(x) - Delta(d, k, rho) > 1/2 for every rival j, then g(x') = c for every x'
    within rho units of x.

    Proof. "The ballot ranks c above j" is an event about the base classifier's answer, so Theorem 1
    holds for it: q_cj(x') >= q_cj(x) - Delta > 1/2 for every j. So c is the pairwise winner of
    x'.  QED

    Each rival gets its own one-sided bound q_low_cj with *all* of alpha, and the radius is the
    least over the rivals. It is wrong with probability at most alpha, with no union over rivals:

    Proof. Let R be the largest rho of the statement, and j* a rival for which it fails at R + 1, so
    that q_cj* <= 1/2 + Delta(d, k, R + 1). Neither depends on the ballots that are counted. To
    certify more than R, every rival's bound must exceed 1/2 + Delta(d, k, R + 1), that of j*
    among them: then q_low_cj* > q_cj*, which happens with probability at most alpha.  QED  (An
    intersection-union test: Berger 1982.)

    So only the strongest rival matters, whose bound is the least as the bound grows with the count,
    and what is computed is Corollary 1 for the wins over it. A ballot that ranks c first ranks it
    above j, so q_cj >= p_c, and the same holds for the counts: on the same votes and at the same
    alpha the radius is never below that of Corollary 1. It gains because votes for third classes
    stop counting against c.

    With many classes an input tracks a few, chosen in any way, even after these ballots. The count
    of a tracked class is its fewest wins, each of the other classes having been counted as a
    rival; for the others first choices stand in. The radius is at most that of all pairs, counted
    on the same ballots, so it is wrong with probability at most alpha; and at least that of
    Corollary 1.

    Proof. A class's wins over any rival are no fewer than its first choices. So the count that is
    used lies between these and the fewest wins, and the radius rises with the count.  QED

    Args:
        wins: `(batch,)` ballots that rank the class to certify, chosen from *other* ablations,
            above its strongest rival, or a count from below of them.
        total: `(batch,)` ballots.
        thresholds: of shares, rising, by radius; for random ablation 1/2 + Delta(d, k, rho).
        alpha: error probability of each certificate.

    Returns:
        Radii, and lower bounds on the class's share against its strongest rival, min_j q_cj.
    """
    return majority_certificate(wins, total, thresholds, alpha)


def top_pairwise_certificate(
    wins: NDArray[np.int64],
    total: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    alpha: float,
    top: int,
) -> Certified:
    """Certify while the class loses head to head to fewer than K rivals.

    The top K are the classes with q_cj(x) <= 1/2 for fewer than K rivals j. They may be more than
    K, up to 2 K - 1 (`top_pairwise`).

    Statement. If q_cj(x) - Delta(d, k, rho) > 1/2 for all but K - 1 of the rivals, then c is among
    the top K of every x' within rho units of x.

    Proof. By Theorem 1 q_cj(x') > 1/2 for all but K - 1 of the rivals.  QED

    Each rival gets a one-sided bound at alpha / K. The radius is wrong with probability at most
    alpha.

    Proof. Let R be the largest rho of the statement. At R + 1 it fails, so the set F of rivals
    with q_cj <= 1/2 + Delta(d, k, R + 1) has K members or more; it does not depend on the ballots.
    To certify more than R, all but K - 1 of the bounds must exceed that threshold: at least
    |F| - K + 1 of those of F, which are wrong then. Each is with probability at most alpha / K, so
    |F| alpha / K are expected, and so many are wrong with probability at most
    |F| / (|F| - K + 1) * alpha / K (Markov). The fraction falls in |F| and is K for |F| = K.  QED

    Args:
        wins: `(batch, rivals)` ballots that rank the class to certify above each rival, or counts
            from below of them.
        total: `(batch,)` ballots.
        thresholds: of shares, rising, by radius; for random ablation 1/2 + Delta(d, k, rho).
        alpha: error probability of each certificate.
        top: K.

    Returns:
        Radii, and lower bounds on the class's share against the rival of which K - 1 are stronger.
    """
    decisive = np.sort(wins, axis=1)[:, min(top, wins.shape[1]) - 1]
    return majority_certificate(decisive, total, thresholds, alpha / top)


def pairwise_family(ballots: Ballots) -> Outcome:
    """Over a fixed family: the class ahead of every other head to head.

    At most one class is ahead of every other. Where there is none, the answer is plurality's, and
    nothing is certified.

    Statement. g(x') = c for all x' that an attacker can make of x, if for every j != c he cannot
    touch ballots of more weight against j than the budget h_cj - h_jc - [j < c].

    Proof. The budget bears what touching can cost, so c stays ahead of every j.  QED

    Args:
        ballots: of a batch.
    """
    winner = ballots.pairwise_winner()
    label = np.where(winner < 0, ballots.first_counts.argmax(axis=1), winner)
    margins = ballots.margins(label)
    radius = ballots.head_to_head_radius(margins, label).min(axis=1)
    wins = (margins > 0).sum(axis=1)
    wins[np.arange(len(label)), label] = ballots.num_ballots
    return Outcome(label, wins.min(axis=1) / ballots.num_ballots, radius)


def top_pairwise(ballots: Ballots, label: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """`(batch,)` radii within which fewer than `top` classes are ahead of the label head to head.

    The top K of this rule are the classes that fewer than K others are ahead of. They may be more
    than K, up to 2 K - 1, as three classes can be ahead of one another in a circle: m classes have
    m (m - 1) / 2 duels among them, each of which one loses, and lose at most K - 1 each.

    Statement. The K-th smallest of the radii against single rivals is certified.

    Proof. Within it at most K - 1 rivals have a smaller radius, and no other gets ahead of c.  QED

    Args:
        ballots: of a batch.
        label: `(batch,)` classes to certify, of any origin.
        top: K, less than the number of classes.
    """
    everything = np.full((ballots.batch, 1), np.iinfo(np.int64).max)
    radius = ballots.head_to_head_radius(ballots.margins(label), label, everything)
    return np.asarray(np.sort(radius, axis=1)[:, top - 1])
