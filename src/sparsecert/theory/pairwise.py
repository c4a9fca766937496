"""The pairwise rule: head to head against every rival, over random ablations.

Each ablation T gives a ballot, the base classifier's ranking of the classes. Write q_cj(x) for the
probability, over T, that the ballot ranks c above j; q_cj + q_jc = 1. The smoothed classifier g of
this rule answers with the pairwise winner: the class c with q_cj(x) > 1/2 for every j != c. There
is at most one, since two of them would each be above the other on more than half of the ballots.
Where there is none, g answers with the class of most first choices, and nothing is certified.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sparsecert.theory.confidence import OUTWARD, clopper_pearson_lower
from sparsecert.theory.radius import CertifiedRadius, check_labels, largest_certified
from sparsecert.theory.shift import majority_thresholds


def pairwise_radius(
    fewest_wins: NDArray[np.int64],
    total: NDArray[np.int64],
    label: NDArray[np.int64],
    d: int,
    k: int,
    alpha: float,
) -> CertifiedRadius:
    """Certify while the class stays above every rival on more than half of the ballots.

    Statement. If q_cj(x) - Delta(d, k, rho) > 1/2 for every rival j, then g(x') = c for every x'
    within rho features of x.

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

    A ballot that ranks c first ranks it above j, so q_cj >= p_c, and the same holds for the counts:
    on the same votes and at the same alpha the radius is never below that of Corollary 1. It gains
    because votes for third classes stop counting against c.

    With many classes an input follows a few, chosen in any way, even after these ballots. The count
    of a followed class is its fewest wins, each of the other classes having been counted as a
    rival; for the others first choices stand in. The radius is at most that of all pairs, counted
    on the same ballots, so it is wrong with probability at most alpha; and at least that of
    Corollary 1.

    Proof. A class's wins over any rival are no fewer than its first choices. So the count that is
    used lies between these and the fewest wins, and the radius rises with the count.  QED

    Args:
        fewest_wins: `(batch, classes)` ballots that rank the class above its strongest rival, or a
            count from below of them.
        total: `(batch,)` ballots.
        label: `(batch,)` class to certify, chosen from *other* ablations.
        d: number of features.
        k: number of retained features.
        alpha: error probability of each certificate.

    Returns:
        Radii, and lower bounds on the class's share against its strongest rival, min_j q_cj.
    """
    # The bound grows with the count, so the strongest rival has the least.
    check_labels(fewest_wins, label)
    wins = np.take_along_axis(fewest_wins, label[:, None], axis=1)[:, 0]
    lower_bound = clopper_pearson_lower(wins, total, alpha)
    return CertifiedRadius(largest_certified(majority_thresholds(d, k), lower_bound), lower_bound)


def pairwise_p_value(
    fewest_wins: NDArray[np.int64], total: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The test behind the prediction of the pairwise rule: is this class not the pairwise winner?

    Statement. If a class is not the pairwise winner, its p-value is at most a with probability at
    most a. So the procedure that answers with the pairwise winner of the *counted* ballots if its
    p-value is at most alpha / (classes - 1), and else abstains, gives a class other than g(x) with
    probability at most alpha, whether or not x has a pairwise winner.

    Proof. A class c that is not the pairwise winner has a rival j with q_cj <= 1/2. Its wins over j
    are binomial, so Pr[Binomial(total, 1/2) >= wins] is at most a with probability at most a;
    the p-value of c, the largest over its rivals, is no smaller. If x has a pairwise winner, that
    is g(x), and no other class is one; if x has none, no class is. Either way none of the
    classes - 1 classes other than g(x) is the pairwise winner, and the union bound over them gives
    alpha.  QED

    Where a count from below stands in for the fewest wins, the p-value is the larger for it.

    Args:
        fewest_wins: ballots that rank the class above its strongest rival, of any shape, or a count
            from below of them.
        total: ballots, of a shape that broadcasts.

    Returns:
        p-values of the broadcast shape.
    """
    tail = stats.binom.sf(fewest_wins - 1, total, 0.5)
    return np.asarray(np.minimum(tail * (1 + OUTWARD), 1.0))
