"""Ballots of a fixed family: what is counted on them, and what it takes to change the counts.

A ballot ranks the classes by falling score, the smaller index first where two are equal. A rule
turns the N ballots of an input into a class. To change it, an attacker who may alter the touched
ballots at will (`theory.coverage`) has to get some class ahead of another. The sum bound gives the
radius within which that is ruled out; the certificate is the least over what the rule fears.

Write n_c for the first choices of c and h_cj for the ballots that rank c above j. In every count
the smaller index wins a tie: c is ahead of j by first choices if n_c - n_j >= [j < c], and head to
head if h_cj - h_jc >= [j < c], where [..] is 1 if true and else 0. The difference less [j < c] is
the *budget*: c stays ahead as long as it has lost no more. One ballot has these weights:

- first choices: changing a ballot for c costs c at most 2 against j, one for j costs nothing, any
  other 1. (It ends at best as a ballot for j.)
- head to head: changing a ballot that ranks c above j costs 2, any other nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.coverage import UNLIMITED, equal_weights_radius, sum_bound_radius

_NUMBERS_PER_CHUNK = 2**24

# From rows and rivals, vectors of one length, to `(length, ballots)` weights.
_Weights = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int8]]


@dataclass(frozen=True)
class Outcome:
    """What a rule makes of the ballots of a batch.

    Attributes:
        label: `(batch,)` the rule's class.
        share: `(batch,)` the share of ballots that the rule counts for it.
        radius: `(batch,)` units within which the class cannot change; -1 where nothing is
            certified, `UNLIMITED` where nothing can change it.
    """

    label: NDArray[np.int64]
    share: NDArray[np.float64]
    radius: NDArray[np.int64]


class Ballots:
    """`(batch, ballots, classes)` scores as rankings, and what it takes to change counts."""

    def __init__(self, scores: NDArray[np.floating], columns: NDArray[np.bool_]) -> None:
        self.scores, self.columns = scores, columns
        self.batch, self.num_ballots, self.num_classes = scores.shape
        self.first = scores.argmax(axis=2).astype(np.int32)  # the first of equal maxima
        self.first_counts = np.stack(
            [(self.first == c).sum(axis=1) for c in range(self.num_classes)], axis=1
        )

    def above(self, label: NDArray[np.int64]) -> NDArray[np.bool_]:
        """`(batch, ballots, classes)`: which ballots rank the label above each class."""
        own = np.take_along_axis(self.scores, label[:, None, None], axis=2)
        smaller = label[:, None, None] < np.arange(self.num_classes)
        return np.asarray((own > self.scores) | ((own == self.scores) & smaller))

    def pairwise_winner(self) -> NDArray[np.int64]:
        """`(batch,)` classes ahead of every other head to head; -1 where there is none.

        Whoever loses to one class is out, so a candidate that goes on until it loses is the only
        one left to be checked against all.
        """
        candidate = np.zeros(self.batch, dtype=np.int64)
        for j in range(1, self.num_classes):
            own = np.take_along_axis(self.scores, candidate[:, None, None], axis=2)[:, :, 0]
            wins = (own >= self.scores[:, :, j]).sum(axis=1)  # candidate < j
            candidate = np.where(2 * wins >= self.num_ballots, candidate, j)
        budget = self._head_to_head_budget(self.above(candidate), candidate)
        budget[np.arange(self.batch), candidate] = 0
        return np.where((budget >= 0).all(axis=1), candidate, -1)

    def run_off_winner(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`(batch,)` winners of the final, and `(batch,)` their opponents."""
        rows = np.arange(self.batch)
        one = self.first_counts.argmax(axis=1)
        rest = self.first_counts.copy()
        rest[rows, one] = -1
        other = rest.argmax(axis=1)
        budget = self._head_to_head_budget(self.above(one), one)[rows, other]
        return np.where(budget >= 0, one, other), np.where(budget >= 0, other, one)

    def first_choice_radius(
        self, label: NDArray[np.int64], limit: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """`(batch, classes)`: features within which a class cannot get ahead of the label.

        Args:
            label: `(batch,)` classes.
            limit: radii from which on it does not matter how large they are, of a shape that
                broadcasts; by default the least radius of each input.
        """
        own = np.take_along_axis(self.first_counts, label[:, None], axis=1)
        budget = own - self.first_counts - (np.arange(self.num_classes) < label[:, None])

        def weights(rows: NDArray[np.int64], rivals: NDArray[np.int64]) -> NDArray[np.int8]:
            return 1 + self._first_is(rows, label[rows]) - self._first_is(rows, rivals)

        return self._radius(weights, 2, budget, label, limit)

    def head_to_head_radius(
        self,
        above: NDArray[np.bool_],
        label: NDArray[np.int64],
        first: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """`(batch, classes)`: the same, head to head.

        Args:
            above: `self.above(label)`.
            label: `(batch,)` classes.
            first: `(batch,)` rivals whose radius is the limit for the others.
        """
        budget = self._head_to_head_budget(above, label)

        def weights(rows: NDArray[np.int64], rivals: NDArray[np.int64]) -> NDArray[np.int8]:
            return 2 * above[rows, :, rivals].astype(np.int8)

        return self._radius(weights, 2, budget, label, None, first)

    def pair_radius(
        self,
        label: NDArray[np.int64],
        behind: NDArray[np.int64],
        final: NDArray[np.int64],
        pairs: list[tuple[int, int]],
    ) -> NDArray[np.int64]:
        """`(batch, pairs)`: features within which a pair cannot get ahead of the label together."""
        if not pairs:
            return np.empty((self.batch, 0), dtype=np.int64)
        a, b = np.array(pairs).T
        classes = np.arange(self.num_classes)
        own = np.take_along_axis(self.first_counts, label[:, None], axis=1)
        gap = own - self.first_counts - (classes < label[:, None])
        budget = gap[:, a] + gap[:, b] + 1

        def weights(rows: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int8]:
            for_rival = self._first_is(rows, a[chosen]) + self._first_is(rows, b[chosen])
            return 1 + 2 * self._first_is(rows, label[rows]) - for_rival

        alone = np.maximum(behind[:, a], behind[:, b])
        least = final.min(axis=1, keepdims=True)
        limit = np.where(alone < least, least, -1)
        radius = np.maximum(alone, self._refined(weights, 3, budget, limit))
        radius[(a == label[:, None]) | (b == label[:, None])] = UNLIMITED
        return radius

    def _first_is(self, rows: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int8]:
        """`(rows, ballots)`: 1 where the ballot ranks the row's class first, else 0."""
        return np.asarray(self.first[rows] == classes[:, None].astype(np.int32)).view(np.int8)

    def _head_to_head_budget(
        self, above: NDArray[np.bool_], label: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        smaller = np.arange(self.num_classes) < label[:, None]
        budget: NDArray[np.int64] = 2 * above.sum(axis=1) - self.num_ballots - smaller
        return budget

    def _radius(
        self,
        weights: _Weights,
        most: int,
        budget: NDArray[np.int64],
        label: NDArray[np.int64],
        limit: NDArray[np.int64] | None,
        first: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """`(batch, classes)` radii by the sum bound; no threat from the label itself."""
        rows = np.arange(self.batch)
        budget[rows, label] = np.iinfo(np.int64).max
        if limit is None:
            first = budget.argmin(axis=1) if first is None else first
            known = sum_bound_radius(weights(rows, first), budget[rows, first], self.columns)
            limit = known[:, None]
        radius = self._refined(weights, most, budget, limit)
        radius[rows, label] = UNLIMITED
        return radius

    def _refined(
        self,
        weights: _Weights,
        most: int,
        budget: NDArray[np.int64],
        limit: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Radii of the budget's shape: by the sum bound where equal weights do not give `limit`."""
        radius = equal_weights_radius(most, budget, self.columns)
        rows, rivals = np.nonzero(radius < limit)
        size = max(1, _NUMBERS_PER_CHUNK // self.num_ballots)
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size], rivals[start : start + size]
            radius[chunk] = sum_bound_radius(weights(*chunk), budget[chunk], self.columns)
        return radius
