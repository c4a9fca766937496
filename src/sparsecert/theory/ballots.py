"""Ballots of a fixed family: what is counted on them, and what it takes to change the counts.

A ballot has a score for every class. It ranks c above j if the score of c is higher, the smaller
index first where two are equal, and its first choice is the class above all others. It may
*abstain*: under a threshold tau > 0 it ranks c above j only if the score of c is higher by more
than tau, and has a first choice only if that is above all others in this sense. Otherwise it says
nothing about the two, or is for nobody. What a ballot says is a function of its scores alone, so
all that is proved about ballots holds for any tau.

A rule turns the N ballots of an input into a class. To change it, an attacker who may alter the
touched ballots at will (`theory.coverage`) has to get some class ahead of another. The reach of the
threat gives the radius within which that is ruled out; the certificate is the least over what the
rule fears.

Write n_c for the first choices of c, and h_cj for the ballots that rank c above j. In every count
the smaller index wins a tie: c is ahead of j by first choices if n_c - n_j >= [j < c], and head to
head if h_cj - h_jc >= [j < c], where [..] is 1 if true and else 0. The difference less [j < c] is
the *budget*: c stays ahead as long as it has lost no more. One ballot has these weights:

- first choices: changing a ballot for c costs c at most 2 against j, one for j costs nothing, any
  other 1. (It ends at best as a ballot for j.)
- head to head: changing a ballot that ranks c above j costs 2, one that says nothing about the two
  1, one that ranks j above c nothing. (It ends at best as one that ranks j above c.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.coverage import UNLIMITED, Reach

_NUMBERS_PER_CHUNK = 2**24

# From rows and rivals, vectors of one length, to `(length, ballots)` weights.
_Weights = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int8]]


@dataclass(frozen=True)
class Outcome:
    """What a rule makes of the ballots of a batch.

    Attributes:
        label: `(batch,)` the rule's class.
        share: `(batch,)` the share of ballots that the rule counts for it.
        radius: `(batch,)` up to where the class cannot change; -1 where nothing is certified,
            `UNLIMITED` where nobody can change it.
    """

    label: NDArray[np.int64]
    share: NDArray[np.float64]
    radius: NDArray[np.int64]


class Ballots:
    """`(batch, ballots, classes)` scores as rankings, and what it takes to change counts.

    Args:
        scores: of every ballot.
        reach: of the threat.
        abstain: tau; 0 for ballots that never abstain.
    """

    def __init__(self, scores: NDArray[np.floating], reach: Reach, abstain: float = 0.0) -> None:
        self.scores, self.reach, self.abstain = scores, reach, abstain
        self.batch, self.num_ballots, self.num_classes = scores.shape
        self.first = scores.argmax(axis=2).astype(np.int32)  # the first of equal maxima
        if abstain:
            second, highest = np.moveaxis(np.partition(scores, -2, axis=2)[:, :, -2:], 2, 0)
            self.first[~(highest - second > abstain)] = -1
        self.first_counts = np.stack(
            [(self.first == c).sum(axis=1) for c in range(self.num_classes)], axis=1
        )

    def margins(self, label: NDArray[np.int64]) -> NDArray[np.int8]:
        """`(batch, ballots, classes)` what each ballot says of the label and each class.

        1 where it ranks the label above, -1 where below, 0 where it says nothing; of the label
        itself anything.
        """
        own = np.take_along_axis(self.scores, label[:, None, None], axis=2)
        smaller = label[:, None, None] < np.arange(self.num_classes)
        return self._margins(own, self.scores, smaller)

    def _margins(
        self,
        own: NDArray[np.floating],
        other: NDArray[np.floating],
        smaller: NDArray[np.bool_] | bool,
    ) -> NDArray[np.int8]:
        """See `margins`; `smaller` says whether the index of the first is."""
        if not self.abstain:
            above = (own > other) | ((own == other) & smaller)
            return np.where(above, np.int8(1), np.int8(-1))
        above, below = own - other > self.abstain, other - own > self.abstain
        return above.astype(np.int8) - below.astype(np.int8)

    def pairwise_winner(self) -> NDArray[np.int64]:
        """`(batch,)` classes ahead of every other head to head; -1 where there is none.

        Whoever loses to one class is out, so a candidate that goes on until it loses is the only
        one left to be checked against all.
        """
        candidate = np.zeros(self.batch, dtype=np.int64)
        for j in range(1, self.num_classes):
            own = np.take_along_axis(self.scores, candidate[:, None, None], axis=2)[:, :, 0]
            lead = self._margins(own, self.scores[:, :, j], smaller=True).sum(axis=1)
            candidate = np.where(lead >= 0, candidate, j)  # candidate < j
        budget = self._head_to_head_budget(self.margins(candidate), candidate)
        budget[np.arange(self.batch), candidate] = 0
        return np.where((budget >= 0).all(axis=1), candidate, -1)

    def run_off_winner(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`(batch,)` winners of the final, and `(batch,)` their opponents."""
        rows = np.arange(self.batch)
        one = self.first_counts.argmax(axis=1)
        rest = self.first_counts.copy()
        rest[rows, one] = -1
        other = rest.argmax(axis=1)
        budget = self._head_to_head_budget(self.margins(one), one)[rows, other]
        return np.where(budget >= 0, one, other), np.where(budget >= 0, other, one)

    def first_choice_radius(
        self, label: NDArray[np.int64], limit: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """`(batch, classes)`: radii within which a class cannot get ahead of the label.

        Args:
            label: `(batch,)` classes.
            limit: radii from which on it does not matter how large they are, of a shape that
                broadcasts; by default the least radius of each input.
        """
        budget = self._first_choice_budget(label)

        def weights(rows: NDArray[np.int64], rivals: NDArray[np.int64]) -> NDArray[np.int8]:
            return 1 + self._first_is(rows, label[rows]) - self._first_is(rows, rivals)

        return self._radius(weights, 2, budget, label, limit)

    def head_to_head_radius(
        self,
        margins: NDArray[np.int8],
        label: NDArray[np.int64],
        limit: NDArray[np.int64] | None = None,
        first: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """`(batch, classes)`: the same, head to head.

        Args:
            margins: `self.margins(label)`.
            label: `(batch,)` classes.
            limit: as above.
            first: `(batch,)` rivals whose radius is the limit for the others where there is none.
        """
        budget = self._head_to_head_budget(margins, label)

        def weights(rows: NDArray[np.int64], rivals: NDArray[np.int64]) -> NDArray[np.int8]:
            return 1 + margins[rows, :, rivals]

        return self._radius(weights, 2, budget, label, limit, first)

    def group_radius(
        self,
        label: NDArray[np.int64],
        groups: NDArray[np.int64],
        limit: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """`(batch, groups)`: radii within which a group cannot get ahead of the label together.

        Statement. Let r classes G be ahead of c by first choices at x'. Then the touched ballots
        weigh more than the sum of the budgets of G and r - 1, where a ballot for c weighs r + 1,
        one for a class of G nothing, and any other 1.

        Proof. From the difference n_c - n_j class j of G has taken its budget and 1 at least: in
        all the sum of the budgets and r. A changed ballot takes no more than its weight from the
        r differences: a ballot for c takes 1 from each by leaving, and 1 more from that of the
        class it goes to; one that was for a class of G gives back what it takes; any other takes
        1 for the class it goes to.  QED

        Args:
            label: `(batch,)` classes.
            groups: `(groups, r)` different classes.
            limit: radii from which on it does not matter how large they are, of a shape that
                broadcasts.

        Returns:
            Radii; `UNLIMITED` where the label is in the group.
        """
        size = groups.shape[1]
        budget = self._first_choice_budget(label)[:, groups].sum(axis=2) + size - 1

        def weights(rows: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int8]:
            for_group = sum(self._first_is(rows, groups[chosen, i]) for i in range(size))
            found: NDArray[np.int8] = 1 + size * self._first_is(rows, label[rows]) - for_group
            return found

        radius = self._refined(weights, size + 1, budget, limit)
        radius[(groups == label[:, None, None]).any(axis=2)] = UNLIMITED
        return radius

    def _first_is(self, rows: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int8]:
        """`(rows, ballots)`: 1 where the ballot ranks the row's class first, else 0."""
        return np.asarray(self.first[rows] == classes[:, None].astype(np.int32)).view(np.int8)

    def _first_choice_budget(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        own = np.take_along_axis(self.first_counts, label[:, None], axis=1)
        smaller = np.arange(self.num_classes) < label[:, None]
        budget: NDArray[np.int64] = own - self.first_counts - smaller
        return budget

    def _head_to_head_budget(
        self, margins: NDArray[np.int8], label: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        smaller = np.arange(self.num_classes) < label[:, None]
        budget: NDArray[np.int64] = margins.sum(axis=1, dtype=np.int64) - smaller
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
        """`(batch, classes)` radii; no threat from the label itself."""
        rows = np.arange(self.batch)
        budget[rows, label] = np.iinfo(np.int64).max
        if limit is None:
            first = budget.argmin(axis=1) if first is None else first
            known = self.reach.radius(weights(rows, first), budget[rows, first])
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
        """Radii of the budget's shape: those of equal weights where these give `limit`."""
        radius = self.reach.equal_weights_radius(most, budget)
        rows, rivals = np.nonzero(radius < limit)
        size = max(1, _NUMBERS_PER_CHUNK // self.num_ballots)
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size], rivals[start : start + size]
            radius[chunk] = self.reach.radius(weights(*chunk), budget[chunk])
        return radius
