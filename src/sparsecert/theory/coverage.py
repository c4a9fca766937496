"""How much an attacker can touch in a fixed family of retained sets.

There are N ballots, one for each set T_t. Ballot t depends on the features in T_t only, so an
attacker who changes the features S alters no ballot but the *touched* ones, whose T_t meets S. If
touching ballot t moves some margin by at most w_t >= 0, then S moves it by at most the sum of w_t
over the touched ballots. A *threat* is a list of attackers, each of whom can do all that those
before it can, and each of whom may choose S out of a collection of his own. A radius is how far
down the list a margin withstands the worst choice: a `Reach` knows the family and the threat, and
answers that. There are two kinds.

Sparse. The attacker rho, for rho = 0, 1, ..., may change any rho features. What he can do is a
maximum-coverage problem:

    cover_w(rho) = max over S with |S| <= rho of the sum of w_t over all t with T_t meeting S.

Sum bound. Let s_i be the sum of w_t over the sets that contain feature i. Then cover_w(rho) is at
most the sum of the rho largest s_i.

Proof. A touched ballot has a feature of S in its set, so adding up s_i over i in S counts its w_t
at least once.  QED

Of features that are in the same sets, a second one touches nothing new, so S may be taken to hold
one of them at most, and the s_i of *different* columns of the membership are enough. In a partition
every ballot has one column, and the bound is exact: the rho largest weights.

Windows. The attacker i, for i = 1, 2, ..., may change the features of one window out of a
collection: patches of one size anywhere in an image, or runs of one length in a vector. There are
no more than d of them, so the worst is found by trying all of them, and nothing is lost:

    cover_w(i) = max over the windows S of attacker i of the sum of w_t over t with T_t meeting S.

Attacker 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# A radius that no number of features reaches.
UNLIMITED = np.iinfo(np.int64).max

_NUMBERS_PER_CHUNK = 2**20


@runtime_checkable
class Reach(Protocol):
    """What the attackers of a threat can touch in a family."""

    @property
    def last(self) -> int:
        """The radius that withstands everybody: the features of a family, or the last attacker."""
        ...

    def radius(self, weights: NDArray[np.int8], budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last attacker who stays within the budget.

        Args:
            weights: `(rows, num_sets)` integers of at least 0: how much touching a ballot costs.
            budget: `(rows,)` what the margin can bear.

        Returns:
            `(rows,)` radii: -1 where the budget is negative, `UNLIMITED` where nobody exceeds it.
        """
        ...

    def equal_weights_radius(self, weight: int, budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """The radius if every ballot cost `weight`: never above that for smaller weights.

        It takes no more than a look into a table.

        Args:
            weight: the largest of all weights.
            budget: what the margins can bear, of any shape.

        Returns:
            Radii of the budget's shape, -1 where it is negative.
        """
        ...


@dataclass(frozen=True)
class SparseReach:
    """Any rho features, by the sum bound.

    Attributes:
        columns: `(num_sets, columns)` which sets each feature is in, different features only.
        num_features: d.
    """

    columns: NDArray[np.bool_]
    num_features: int

    @property
    def last(self) -> int:
        """All features."""
        return self.num_features

    def radius(self, weights: NDArray[np.int8], budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Reach`."""
        return sum_bound_radius(weights, budget, self.columns)

    def equal_weights_radius(self, weight: int, budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Reach`."""
        return equal_weights_radius(weight, budget, self.columns)


@dataclass(frozen=True)
class WindowReach:
    """One window, of the size that the attacker has; exact.

    Attributes:
        touched: of each attacker, `(windows, num_sets)` booleans: which sets each window meets.
            Every window of one attacker lies in one of the next.
    """

    touched: Sequence[NDArray[np.bool_]]

    @property
    def last(self) -> int:
        """The last attacker."""
        return len(self.touched)

    @cached_property
    def _different(self) -> list[NDArray[np.float32]]:
        """Windows that meet the same sets are worth as much as one."""
        return [np.unique(each, axis=0).astype(np.float32) for each in self.touched]

    def radius(self, weights: NDArray[np.int8], budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Reach`."""
        within = budget >= 0
        passed = np.where(within, 0, -1).astype(np.int64)
        for each in self._different:
            size = max(1, _NUMBERS_PER_CHUNK // len(each))
            for start in range(0, len(weights), size):
                part = slice(start, start + size)
                # Sums of small integers, which 32-bit floats hold exactly.
                costs = (each @ weights[part].T.astype(np.float32)).max(axis=0)
                within[part] &= costs <= budget[part]
            passed += within
        return np.where(passed == self.last, UNLIMITED, passed)

    def equal_weights_radius(self, weight: int, budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Reach`."""
        costs = [0, *(weight * int(each.sum(axis=1).max()) for each in self._different)]
        radius = np.searchsorted(np.array(costs), budget, side="right") - 1
        return np.where(radius == self.last, UNLIMITED, radius).astype(np.int64)


def sum_bound_radius(
    weights: NDArray[np.int8], budget: NDArray[np.int64], columns: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The largest rho at which the sum bound is within the budget.

    Args:
        weights: `(rows, num_sets)` integers of at least 0: how much touching a ballot costs.
        budget: `(rows,)` what the margin can bear.
        columns: `(num_sets, columns)` which sets each feature is in, different features only.

    Returns:
        `(rows,)` radii in features: -1 where the budget is negative, `UNLIMITED` where all features
        together stay within it.
    """
    radius = np.full(len(weights), -1, dtype=np.int64)
    rows = np.flatnonzero(budget >= 0)
    if not len(rows):
        return radius
    # s_i is at most the largest weight for every set that i is in.
    most = int(weights.max()) * int(columns.sum(axis=0).max())
    dtype = np.int16 if most <= np.iinfo(np.int16).max else np.int32
    sets_of = sparse.csr_array(columns.T, dtype=dtype)
    size = max(1, _NUMBERS_PER_CHUNK // max(*columns.shape, most))
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        sums = sets_of @ np.ascontiguousarray(weights[chunk].T, dtype=dtype)
        radius[chunk] = _affordable(sums, budget[chunk], most)
    return radius


def equal_weights_radius(
    weight: int, budget: NDArray[np.int64], columns: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The sum bound if every ballot cost `weight`: never above that for smaller weights.

    It takes no more than a look into a table.

    Args:
        weight: the largest of all weights.
        budget: what the margins can bear, of any shape.
        columns: as for `sum_bound_radius`.

    Returns:
        Radii of the budget's shape, -1 where it is negative.
    """
    falling = -np.sort(-columns.sum(axis=0, dtype=np.int64))
    cost = weight * np.concatenate([[0], np.cumsum(falling)])
    radius = np.searchsorted(cost, budget, side="right") - 1
    return np.where(radius == len(cost) - 1, UNLIMITED, radius).astype(np.int64)


def _affordable(
    sums: NDArray[np.signedinteger], budget: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """How many of the numbers in each column fit into its budget, taken in falling order.

    The numbers are small integers, so counting them takes the place of sorting.

    Args:
        sums: `(columns, rows)` integers from 0 to `most`.
        budget: `(rows,)` integers of at least 0.
        most: the largest that `sums` can hold.
    """
    rows = np.arange(sums.shape[1]) * (most + 1)
    counts = np.bincount((sums + rows).ravel(), minlength=sums.shape[1] * (most + 1))
    counts = counts.reshape(sums.shape[1], most + 1)
    left, taken = budget.copy(), np.zeros_like(budget)
    going_on = np.ones(len(budget), dtype=np.bool_)
    for value in range(most, 0, -1):
        fitting = np.where(going_on, np.minimum(counts[:, value], left // value), 0)
        taken += fitting
        left -= fitting * value
        going_on &= fitting == counts[:, value]
    return np.where(going_on, UNLIMITED, taken)
