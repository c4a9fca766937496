"""How much rho features can touch in a fixed family of retained sets: the sum bound.

There are N ballots, one for each set T_t. Ballot t depends on the features in T_t only, so an
attacker who changes the features S alters no ballot but the *touched* ones, whose T_t meets S. If
touching ballot t moves some margin by at most w_t >= 0, then S moves it by at most the sum of w_t
over the touched ballots. What rho features can do is a maximum-coverage problem:

    cover_w(rho) = max over S with |S| <= rho of the sum of w_t over all t with T_t meeting S.

Sum bound. Let s_i be the sum of w_t over the sets that contain feature i. Then cover_w(rho) is at
most the sum of the rho largest s_i.

Proof. A touched ballot has a feature of S in its set, so adding up s_i over i in S counts its w_t
at least once.  QED

Of features that are in the same sets, a second one touches nothing new, so S may be taken to hold
one of them at most, and the s_i of *different* columns of the membership are enough. In a partition
every ballot has one column, and the bound is exact: the rho largest weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# A radius that no number of features reaches.
UNLIMITED = np.iinfo(np.int64).max

_NUMBERS_PER_CHUNK = 2**20


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
