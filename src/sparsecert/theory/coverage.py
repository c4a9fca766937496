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

Overlap bound. Let every two different columns share at least a sets and every three at most t. Then
any rho features touch at most

    S_1 - (2 (2 i - 1) a C(rho, 2) - 6 t C(rho, 3)) / (i (i + 1))   sets, for every i >= 2, and
    S_1 - (rho - 1) a,

where S_1 is the sum of the rho largest numbers of sets that a column is in. So cover_w(rho) is at
most the largest weight times that.

Proof. S may be taken to hold rho features of different columns (above; touching more is no loss).
Let m_t be how many of them set t holds, so that the sums of m_t, C(m_t, 2) and C(m_t, 3) over the
sets are at most S_1, at least a C(rho, 2), and at most t C(rho, 3). For every integer m >= 1

    m - (2 (2 i - 1) C(m, 2) - 6 C(m, 3)) / (i (i + 1)) >= 1,                               (1)

since for m >= 2 the left side less 1 is (m - 1) (1 - m (2 i + 1 - m) / (i (i + 1))), and
m (2 i + 1 - m) is largest at m = i and m = i + 1, where it is i (i + 1). The left side is 0 at
m = 0. Adding (1) up over the sets gives the first bound. The second comes in the same way from
m - C(m, 2) 2 / rho = 1 + (m - 1) (rho - m) / rho >= 1 for 1 <= m <= rho.  QED  (For i = 2 this is
Bonferroni's inequality S_1 - S_2 + S_3; such bounds are known for the probability of a union of
events, Kwerel 1975.)

It asks for families in which any two features share sets: in those of `designs.inversive` they
share equally many, and any three share one at most. Then rho features touch about the share of sets
that they touch among all sets of that size, which is what random ablation pays.

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
# What is shared by two and by three features is counted within half a minute.
_MOST_COLUMNS, _MOST_TRIPLES = 2**12, 2**30


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
    """Any rho features, by the sum bound and the overlap bound, whichever is less.

    Attributes:
        columns: `(num_sets, columns)` which sets each feature is in, different features only.
        num_features: d.
        most_touched: `(columns + 1,)` sets that 0, 1, ... different features touch at most, as of
            `most_touched_sets`; None where two may share no set.
    """

    columns: NDArray[np.bool_]
    num_features: int
    most_touched: NDArray[np.int64] | None = None

    @property
    def last(self) -> int:
        """All features."""
        return self.num_features

    def radius(self, weights: NDArray[np.int8], budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Reach`."""
        radius = sum_bound_radius(weights, budget, self.columns)
        return np.maximum(radius, self._by_overlaps(int(weights.max(initial=0)), budget))

    def equal_weights_radius(self, weight: int, budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Reach`."""
        radius = equal_weights_radius(weight, budget, self.columns)
        return np.maximum(radius, self._by_overlaps(weight, budget))

    def _by_overlaps(self, weight: int, budget: NDArray[np.int64]) -> NDArray[np.int64]:
        """The largest rho at which `weight` times the overlap bound is within the budget."""
        if self.most_touched is None:
            return np.full(np.shape(budget), -1, dtype=np.int64)
        return _affordable_features(weight * self.most_touched, budget)


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
    if not columns.shape[1]:  # nobody can touch anything
        radius[rows] = UNLIMITED
        return radius
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
    return _affordable_features(weight * _sets_of_largest(columns), budget)


def most_touched_sets(columns: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """The overlap bound: how many sets 0, 1, ... different features touch at most.

    Args:
        columns: `(num_sets, columns)` which sets each feature is in, different features only.

    Returns:
        `(columns + 1,)` integers, rising; None where two features share no set, so that the bound
        says nothing, or the family is too large to count what three share.
    """
    size = columns.shape[1]
    triples = (columns.sum(axis=1, dtype=np.int64) ** 3).sum() // 6
    if size < 2 or size > _MOST_COLUMNS or triples > _MOST_TRIPLES:
        return None
    sets = sparse.csr_array(columns, dtype=np.int32)
    shared = sparse.csr_array(sets.T @ sets).toarray()
    pair = int(shared[~np.eye(size, dtype=np.bool_)].min())
    if not pair:
        return None
    triple, features_of = 0, sets.tocsc()
    for first in range(size - 2):
        with_it = sets[
            features_of.indices[slice(*features_of.indptr[first : first + 2])], first + 1 :
        ]
        common = sparse.coo_array(with_it.T @ with_it)
        different = common.row < common.col
        triple = max(triple, int(common.data[different].max(initial=0)))
    rho = np.arange(size + 1)
    most = _sets_of_largest(columns)
    pairs, triples_of = pair * rho * (rho - 1) // 2, triple * rho * (rho - 1) * (rho - 2) // 6
    bounds = [most - np.maximum(rho - 1, 0) * pair]
    for i in range(2, size + 1):
        saved = 2 * (2 * i - 1) * pairs - 6 * triples_of
        bounds.append(most + -saved // (i * (i + 1)))  # rounded down, as sets are counted
    least = np.minimum(np.min(bounds, axis=0), len(columns))
    # Fewer features touch no more than more features do.
    return np.minimum.accumulate(least[::-1])[::-1]


def _sets_of_largest(columns: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`(columns + 1,)` the sum of the 0, 1, ... largest numbers of sets that a column is in."""
    falling = -np.sort(-columns.sum(axis=0, dtype=np.int64))
    return np.concatenate([[0], np.cumsum(falling)])


def _affordable_features(cost: NDArray[np.int64], budget: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many features a budget bears, of which 0, 1, ... cost so much, rising; -1 for none."""
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
