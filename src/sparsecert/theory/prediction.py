"""PREDICT: naming the smoothed classifier's class, or abstaining.

The answer is a class other than g(x) with probability at most alpha: at the only look where samples
are fixed, and whatever the look at which counting stops where counts are looked at as they grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sparsecert.errors import InputError
from sparsecert.theory.boundaries import crossing_counts, highest_plausible, spent_levels
from sparsecert.theory.confidence import OUTWARD

ABSTAIN = -1


@dataclass(frozen=True)
class Named:
    """What is named by each look; the number of looks is 1 where samples are fixed.

    Attributes:
        label: `(batch, looks)` classes; `ABSTAIN` where none is named yet. What is named stays.
        decided: `(batch, looks)` whether a class is named, or none is expected to be.
    """

    label: NDArray[np.int64]
    decided: NDArray[np.bool_]

    @classmethod
    def once(cls, label: NDArray[np.int64], certain: NDArray[np.bool_]) -> Named:
        """From a single look: each class where it is certain, else an abstention."""
        named = np.where(certain, label, ABSTAIN)[:, None]
        return cls(named, np.ones(named.shape, dtype=np.bool_))


def top_two_p_value(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Two-sided binomial test that two classes are equally likely.

    The hypothesis test of Hung and Fithian (2019) that Cohen, Rosenfeld and Kolter (2019) use in
    PREDICT: given first + second votes for either class, is a split this uneven or more so
    likely at p = 1/2? If the top class is not the most probable one, a p-value of at most alpha
    comes up with probability at most alpha.

    Args:
        first: votes for the top class, integers of any shape.
        second: votes for the runner-up, at most `first`.

    Returns:
        p-values of the broadcast shape; 1 where neither got a vote.
    """
    first_votes, second_votes = np.broadcast_arrays(np.asarray(first), np.asarray(second))
    if (second_votes > first_votes).any() or (second_votes < 0).any():
        raise InputError("expected 0 <= votes of the runner-up <= votes of the top class")
    # At p = 1/2 the distribution is symmetric: the two-sided p-value is twice the upper tail.
    tail = _upper_tail(first_votes, first_votes + second_votes)
    return np.asarray(np.minimum(2 * tail, 1.0))


def pairwise_p_value(wins: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
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
        wins: ballots that rank the class above its strongest rival, of any shape, or a count from
            below of them.
        total: ballots, of a shape that broadcasts.

    Returns:
        p-values of the broadcast shape.
    """
    return _upper_tail(wins, total)


def _upper_tail(count: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Pr[Binomial(total, 1/2) >= count], rounded up: at a share that is moved out as bounds are."""
    counts, totals = np.asarray(count), np.asarray(total)
    return np.asarray(stats.binom.sf(counts - 1, totals, (1 + OUTWARD) / 2))


def name_top(counts: NDArray[np.int64], alpha: float) -> Named:
    """Majority and margin, from a fixed number of samples (Cohen, Rosenfeld and Kolter 2019).

    Names the class of most votes unless `top_two_p_value` cannot tell it from the runner-up.

    Args:
        counts: `(batch, classes)` first choices.
        alpha: probability of naming a wrong class.
    """
    second, first = np.sort(counts, axis=1)[:, -2:].T
    return Named.once(counts.argmax(axis=1), top_two_p_value(first, second) <= alpha)


def name_winner(wins: NDArray[np.int64], total: NDArray[np.int64], alpha: float) -> Named:
    """Pairwise, from a fixed number of samples; `pairwise_p_value` has the proof.

    Args:
        wins: `(batch, classes)` ballots that rank the class above its strongest rival.
        total: `(batch,)` ballots.
        alpha: probability of naming a wrong class.
    """
    best = wins.max(axis=1)
    certain = pairwise_p_value(best, total) <= alpha / (wins.shape[1] - 1)
    return Named.once(wins.argmax(axis=1), certain & (2 * best > total))


def name_top_by_look(
    counts: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    alpha: float,
) -> Named:
    """Majority and margin: name the class of most votes once it is told from the runner-up.

    At look i that is done if the two-sided binomial test rejects at level a_i, and the a_i add up
    to at most alpha.

    Statement. A class other than g(x) is named with probability at most alpha.

    Proof. At look i, a top class that is not the most probable one passes the test with
    probability at most a_i (`top_two_p_value`). The union over looks gives alpha.  QED

    Args:
        counts: `(batch, looks, classes)` first choices.
        reached: `(batch, looks)` whether the look was reached.
        looks: numbers of ballots, the budget last.
        alpha: probability of naming a wrong class.
    """
    levels = spent_levels(looks, alpha)
    second, first = np.moveaxis(np.sort(counts, axis=2)[:, :, -2:], 2, 0)
    certain = reached & (top_two_p_value(first, second) <= levels)
    # At best the runner-up gets none of the votes that are beyond what is plausible for the top.
    likely = highest_plausible(first, looks)
    between = -(-(first + second) * looks[-1] // looks)
    likely = np.clip(likely, -(-between // 2), between)
    futile = top_two_p_value(likely, between - likely) > levels[-1]
    return _by_look(counts.argmax(axis=2), certain, reached & futile)


def name_winner_by_look(
    wins: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    alpha: float,
) -> Named:
    """Pairwise: name the class whose wins over every rival have reached a boundary.

    The boundary is that of the share 1/2 at level alpha / (classes - 1).

    Statement. A class other than g(x) is named with probability at most alpha, whether or not x has
    a pairwise winner.

    Proof. No class other than g(x) is the pairwise winner (`pairwise_p_value`). Such a class has a
    rival j with q_cj <= 1/2, and to be named its wins over j must reach the boundary at some look:
    probability at most alpha / (classes - 1), by the statement of `crossing_counts`. There are
    classes - 1 such classes.  QED

    Args:
        wins: `(batch, looks, classes)` ballots that rank the class above its strongest rival.
        reached: `(batch, looks)` whether the look was reached.
        looks: numbers of ballots, the budget last.
        alpha: probability of naming a wrong class.
    """
    each = alpha / (wins.shape[2] - 1)
    boundary = np.array(crossing_counts(0.5, tuple(map(int, looks)), each))
    best = wins.max(axis=2)
    # Where alpha is large, more than one class might reach the boundary, and only one has the
    # majority.
    certain = reached & (best >= boundary) & (2 * best > looks)
    futile = highest_plausible(best, looks) < boundary[-1]
    return _by_look(wins.argmax(axis=2), certain, reached & futile)


def _by_look(
    label: NDArray[np.int64], certain: NDArray[np.bool_], futile: NDArray[np.bool_]
) -> Named:
    """The first class that was named, from then on."""
    named = np.logical_or.accumulate(certain, axis=1)
    first = certain.argmax(axis=1)
    chosen = label[np.arange(len(label)), first] if label.size else np.empty(0, dtype=np.int64)
    return Named(np.where(named, chosen[:, None], ABSTAIN), named | futile)
