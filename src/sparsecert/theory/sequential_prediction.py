"""PREDICT by look: naming a class as soon as the counts allow it.

As in `theory.sequential_rules` there is an answer for every look, from the counts so far, and
whether going on could change it. Whatever the look at which counting stops, the answer is a class
other than g(x) with probability at most alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.confidence import top_two_p_value
from sparsecert.theory.sequential import crossing_counts, spent_levels
from sparsecert.theory.sequential_rules import highest_plausible

_NONE = -1


@dataclass(frozen=True)
class NamedByLook:
    """What is named by each look.

    Attributes:
        label: `(batch, looks)` classes; -1 where none is named yet. What is named stays.
        settled: `(batch, looks)` whether a class is named, or none is expected to be.
    """

    label: NDArray[np.int64]
    settled: NDArray[np.bool_]


def name_top(
    first_choice: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    alpha: float,
) -> NamedByLook:
    """Majority and margin: name the class of most votes once it is told from the runner-up.

    At look i that is done if the two-sided binomial test rejects at level a_i, and the a_i add up
    to at most alpha.

    Statement. A class other than g(x) is named with probability at most alpha.

    Proof. At look i, a top class that is not the most probable one passes the test with
    probability at most a_i (Hung and Fithian 2019; see `top_two_p_value`). The union over looks
    gives alpha.  QED

    Args:
        first_choice: `(batch, m, classes)` first choices at the first m looks.
        reached: `(batch, m)` whether the look was reached.
        looks: `(K,)` numbers of ballots of all looks, the budget last.
        alpha: probability of naming a wrong class.
    """
    levels = spent_levels(looks, alpha)
    second, first = np.moveaxis(np.sort(first_choice, axis=2)[:, :, -2:], 2, 0)
    decided = reached & (top_two_p_value(first, second) <= levels[: first.shape[1]])
    totals = looks[: first.shape[1]]
    # At best the runner-up gets none of the votes that are beyond what is plausible for the top.
    likely = highest_plausible(first, looks)
    between = -(-(first + second) * looks[-1] // totals)
    likely = np.clip(likely, -(-between // 2), between)
    hopeless = top_two_p_value(likely, between - likely) > levels[-1]
    return _by_look(first_choice.argmax(axis=2), decided, reached & hopeless)


def name_pairwise_winner(
    fewest_wins: NDArray[np.int64],
    reached: NDArray[np.bool_],
    looks: NDArray[np.int64],
    alpha: float,
) -> NamedByLook:
    """Pairwise: name the class whose wins over every rival have reached a boundary.

    The boundary is that of the share 1/2 at level alpha / (classes - 1).

    Statement. A class other than g(x) is named with probability at most alpha, whether or not x has
    a pairwise winner.

    Proof. No class other than g(x) is the pairwise winner (`theory.pairwise_p_value`). Such a
    class has a rival j with q_cj <= 1/2, and to be named its wins over j must reach the boundary
    at some look: probability at most alpha / (classes - 1), by the statement of `crossing_counts`.
    There are classes - 1 such classes.  QED

    Args:
        fewest_wins: `(batch, m, classes)` ballots, at the first m looks, that rank the class above
            its strongest rival.
        reached: `(batch, m)` whether the look was reached.
        looks: `(K,)` numbers of ballots of all looks, the budget last.
        alpha: probability of naming a wrong class.
    """
    each = alpha / (fewest_wins.shape[2] - 1)
    boundary = np.array(crossing_counts(0.5, tuple(map(int, looks)), each))
    best, totals = fewest_wins.max(axis=2), looks[: fewest_wins.shape[1]]
    # Where alpha is large, more than one class might reach the boundary, and only one has the
    # majority.
    decided = reached & (best >= boundary[: len(totals)]) & (2 * best > totals)
    hopeless = highest_plausible(best, looks) < boundary[-1]
    return _by_look(fewest_wins.argmax(axis=2), decided, reached & hopeless)


def _by_look(
    label: NDArray[np.int64], decided: NDArray[np.bool_], hopeless: NDArray[np.bool_]
) -> NamedByLook:
    """The first class that was named, from then on."""
    named = np.logical_or.accumulate(decided, axis=1)
    first = decided.argmax(axis=1)
    chosen = label[np.arange(len(label)), first] if label.size else np.empty(0, dtype=np.int64)
    return NamedByLook(np.where(named, chosen[:, None], _NONE), named | hopeless)
