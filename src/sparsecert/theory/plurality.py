"""The plurality rule of fixed families: the class of most first choices."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.ballots import Ballots, Outcome
from sparsecert.theory.coverage import UNLIMITED

# Beyond, rivals are looked at one by one, which certifies less.
_MOST_GROUPS = 5_000


def plurality(ballots: Ballots) -> Outcome:
    """The class of most first choices.

    Statement. g(x') = c for all x' that an attacker can make of x, if for every j != c he cannot
    touch ballots of more weight against j than the budget n_c - n_j - [j < c].

    Proof. The budget bears what touching can cost, so c stays ahead of every j.  QED  For one
    partition and sparse attacks the sum bound gives the certificate of Hammoudeh and Lowd (2024),
    the largest rho with 2 rho <= n_c - n_j - [j < c] for every j: c has at least rho ballots, each
    worth 2.

    Args:
        ballots: of a batch.
    """
    label = ballots.first_counts.argmax(axis=1)
    share = ballots.first_counts.max(axis=1) / ballots.num_ballots
    return Outcome(label, share, ballots.first_choice_radius(label).min(axis=1))


def top_by_first_choices(ballots: Ballots, label: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """`(batch,)` radii within which the label stays among the `top` classes of most first choices.

    The top K are the classes that fewer than K others are ahead of: K classes.

    Statement. c stays among them unless K rivals get ahead of it. A set of K rivals cannot, if some
    of them cannot get ahead of c together (`Ballots.group_radius`), be it one or all.

    Proof. If all K are ahead of c, so is every group out of them.  QED

    With many classes, where the sets of K rivals are too many to be listed, single rivals alone are
    looked at: K rivals whose radius is below rho are needed, so the K-th smallest is certified.

    Args:
        ballots: of a batch.
        label: `(batch,)` classes to certify, of any origin.
        top: K, less than the number of classes.
    """
    everything = np.full((ballots.batch, 1), np.iinfo(np.int64).max)
    alone = ballots.first_choice_radius(label, everything)
    if top == 1 or math.comb(ballots.num_classes, top) > _MOST_GROUPS:
        return np.asarray(np.sort(alone, axis=1)[:, top - 1])
    together: dict[tuple[int, ...], NDArray[np.int64]] = {
        (j,): alone[:, j] for j in range(ballots.num_classes)
    }
    for size in range(2, top + 1):
        groups = list(itertools.combinations(range(ballots.num_classes), size))
        radius = ballots.group_radius(label, np.array(groups), everything)
        together |= dict(zip(groups, radius.T, strict=True))
    best = np.full(ballots.batch, UNLIMITED)
    for rivals in itertools.combinations(range(ballots.num_classes), top):
        parts = itertools.chain.from_iterable(
            itertools.combinations(rivals, size) for size in range(1, top + 1)
        )
        best = np.minimum(best, np.max([together[part] for part in parts], axis=0))
    return best
