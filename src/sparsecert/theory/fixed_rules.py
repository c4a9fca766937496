"""Voting rules over a fixed family of retained sets, and what defeats each of them.

A ballot ranks the classes by falling score, the smaller index first where two are equal. A rule
turns the N ballots of an input into a class. To change it, an attacker who may alter the touched
ballots at will (`theory.coverage`) has to carry out one of the rule's *threats*. For each threat
there is a radius, within which the sum bound rules it out, and the attack in full, for the exact
bound. The certificate is the least over the threats.

Write n_c for the first choices of c and h_cj for the ballots that rank c above j. In every count
the smaller index wins a tie: c is ahead of j by first choices if n_c - n_j >= [j < c], and head to
head if h_cj - h_jc >= [j < c], where [..] is 1 if true and else 0. The difference less [j < c] is
the *budget*: c stays ahead as long as it has lost no more. One ballot has these weights:

- first choices: changing a ballot for c costs c at most 2 against j, one for j costs nothing, any
  other 1. (It ends at best as a ballot for j.)
- head to head: changing a ballot that ranks c above j costs 2, any other nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.theory.coverage import UNLIMITED, equal_weights_radius, sum_bound_radius
from sparsecert.theory.exact_coverage import Attack

_NUMBERS_PER_CHUNK = 2**24

# From rows and rivals, vectors of one length, to `(length, ballots)` weights.
_Weights = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int8]]


@dataclass(frozen=True)
class Threats:
    """What defeats a rule on each input of a batch.

    Attributes:
        label: `(batch,)` the rule's class.
        share: `(batch,)` the share of ballots that the rule counts for it.
        radius: `(batch, threats)` features up to which the sum bound rules a threat out; -1 where
            it does not take any, `UNLIMITED` where there is no such threat. Unless the rule was
            asked to be thorough, only the least of an input is the bound's own; the others may
            be less than the bound gives, but not below the least.
        attack: the attack of input b by threat k, as `attack(b, k)`.
    """

    label: NDArray[np.int64]
    share: NDArray[np.float64]
    radius: NDArray[np.int64]
    attack: Callable[[int, int], Attack]


def plurality(
    scores: NDArray[np.floating], columns: NDArray[np.bool_], *, thorough: bool = False
) -> Threats:
    """The class of most first choices; threat j puts class j ahead of it.

    Statement. g(x') = c for all x' within rho features of x if for every j != c no rho features
    touch ballots of more weight against j than the budget n_c - n_j - [j < c].

    Proof. The budget bears what touching can cost, so c stays ahead of every j.  QED  For one
    partition the sum bound gives the certificate of Hammoudeh and Lowd (2024), the largest rho with
    2 rho <= n_c - n_j - [j < c] for every j: c has at least rho ballots, each worth 2.
    """
    ballots = _Ballots(scores, columns, thorough)
    label = ballots.first_counts.argmax(axis=1)
    radius = ballots.first_choice_radius(label)
    share = ballots.first_counts.max(axis=1) / ballots.num_ballots

    def attack(b: int, j: int) -> Attack:
        weights, needs = ballots.first_choice_attack(b, int(label[b]), j)
        return Attack(weights[None, None], np.array([needs]))

    return Threats(label, share, radius, attack)


def pairwise(
    scores: NDArray[np.floating], columns: NDArray[np.bool_], *, thorough: bool = False
) -> Threats:
    """The class ahead of every other head to head; threat j puts class j ahead of it.

    At most one class is ahead of every other. Where there is none, the answer is plurality's, and
    nothing is certified.

    Statement. g(x') = c for all x' within rho features of x if for every j != c no rho features
    touch ballots of more weight against j than the budget h_cj - h_jc - [j < c].

    Proof. The budget bears what touching can cost, so c stays ahead of every j.  QED
    """
    ballots = _Ballots(scores, columns, thorough)
    winner = ballots.pairwise_winner()
    label = np.where(winner < 0, ballots.first_counts.argmax(axis=1), winner)
    above = ballots.above(label)
    radius = ballots.head_to_head_radius(above, label)
    wins = above.sum(axis=1)
    wins[np.arange(len(label)), label] = ballots.num_ballots

    def attack(b: int, j: int) -> Attack:
        weights, needs = _head_to_head_attack(above[b, :, j], int(label[b]), j)
        return Attack(weights[None, None], np.array([needs]))

    return Threats(label, wins.min(axis=1) / ballots.num_ballots, radius, attack)


def run_off(
    scores: NDArray[np.floating], columns: NDArray[np.bool_], *, thorough: bool = False
) -> Threats:
    """The winner, head to head, of the two classes with most first choices.

    (The run-off of Hammoudeh and Lowd, 2024, here for any family.) c = g(x), and f is its opponent
    in the final: of the other classes the one with most first choices.

    Statement. If g(x') is not c, then at x' (1) some class j is ahead of every class but c by first
    choices, and ahead of c head to head; or (2) some two classes a and b are ahead of c by first
    choices. So rho is certified if it is too small for every such threat:

    - (1) is ruled out if j != f cannot get ahead of f by first choices, or j cannot get ahead of
      c head to head.
    - (2) is ruled out if a, or b, cannot get ahead of c by first choices, or if no rho features
      touch ballots of more weight than the sum of both budgets and 1, where a ballot for c
      weighs 3, one for a or b nothing, and any other 1.

    Proof. If c is in the final of x' and loses it, then to the class that is ahead of all others
    but c: (1). If c is not in the final, two classes are ahead of it: (2). A change of one
    ballot takes at most 3 from the budgets against a and b together: a ballot for c that becomes
    one for a takes 2 and 1, any other takes 1 from one of them if it was for neither, and if it
    was for a gives the one budget what it takes from the other. To get both ahead takes both
    budgets and 1 more for each.  QED

    The exact bound puts the whole threat into one program: in (1) every touched ballot becomes one
    that ranks j first, which is best for all of its requirements at once, and they are that j is
    ahead of *every* other class than c, and of c head to head; in (2) every touched ballot becomes
    one for a, one for b, or stays. Both are then necessary and sufficient.
    """
    ballots = _Ballots(scores, columns, thorough)
    label, opponent = ballots.run_off_winner()
    above = ballots.above(label)
    rows = np.arange(len(label))
    # The final is lost against f as soon as f beats c, so only what may come sooner matters.
    beats = ballots.head_to_head_radius(above, label, first=opponent)
    known = beats[rows, opponent][:, None]
    overtakes = ballots.first_choice_radius(opponent, np.where(beats < known, known, -1))
    overtakes[rows, opponent] = -1
    final = np.maximum(overtakes, beats)
    behind = ballots.first_choice_radius(label, final.min(axis=1, keepdims=True))
    pairs = list(itertools.combinations(range(ballots.num_classes), 2))
    radius = np.concatenate([final, ballots.pair_radius(label, behind, final, pairs)], axis=1)

    def attack(b: int, k: int) -> Attack:
        c = int(label[b])
        if k >= ballots.num_classes:
            return ballots.pair_attack(b, c, *pairs[k - ballots.num_classes])
        others = [j for j in range(ballots.num_classes) if j not in (c, k)]
        rivals = [ballots.first_choice_attack(b, j, k) for j in others]
        rivals.append(_head_to_head_attack(above[b, :, k], c, k))
        weights, needs = zip(*rivals, strict=True)
        return Attack(np.stack(weights)[:, None], np.array(needs))

    wins = above[rows, :, opponent].sum(axis=1)
    return Threats(label, wins / ballots.num_ballots, radius, attack)


FIXED_RULES: dict[str, Callable[..., Threats]] = {
    "plurality": plurality,
    "run-off": run_off,
    "pairwise": pairwise,
}


class _Ballots:
    """`(batch, ballots, classes)` scores as rankings, and what it takes to change counts."""

    def __init__(
        self, scores: NDArray[np.floating], columns: NDArray[np.bool_], thorough: bool
    ) -> None:
        self.scores, self.columns, self.thorough = scores, columns, thorough
        self.batch, self.num_ballots, self.num_classes = scores.shape
        self.first = scores.argmax(axis=2).astype(np.int16)  # the first of equal maxima
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

        Whoever loses to one class is out, so a champion who goes on until it loses is the only one
        left to be checked against all.
        """
        champion = np.zeros(self.batch, dtype=np.int64)
        for j in range(1, self.num_classes):
            own = np.take_along_axis(self.scores, champion[:, None, None], axis=2)[:, :, 0]
            wins = (own >= self.scores[:, :, j]).sum(axis=1)  # champion < j
            champion = np.where(2 * wins >= self.num_ballots, champion, j)
        budget = self._head_to_head_budget(self.above(champion), champion)
        budget[np.arange(self.batch), champion] = 0
        return np.where((budget >= 0).all(axis=1), champion, -1)

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
        return np.asarray(self.first[rows] == classes[:, None].astype(np.int16)).view(np.int8)

    def first_choice_attack(self, b: int, leader: int, j: int) -> tuple[NDArray[np.int64], int]:
        """Weights of the ballots of input b, and what j needs to get ahead of the leader."""
        first = self.first[b]
        weights = 1 + (first == leader).astype(np.int64) - (first == j)
        counts = self.first_counts[b]
        return weights, int(counts[leader] - counts[j] + (leader < j))

    def pair_attack(self, b: int, c: int, one: int, other: int) -> Attack:
        """What gets both classes ahead of c on input b, each touched ballot to one of them."""
        first = self.first[b]
        of_c, of_one, of_other = ((first == j).astype(np.int64) for j in (c, one, other))
        gains = np.array(
            [[1 + of_c - of_one, of_c - of_one], [of_c - of_other, 1 + of_c - of_other]]
        )
        needs = [self.first_choice_attack(b, c, j)[1] for j in (one, other)]
        return Attack(gains, np.array(needs))

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
        rows, rivals = np.nonzero(radius < (UNLIMITED if self.thorough else limit))
        size = max(1, _NUMBERS_PER_CHUNK // self.num_ballots)
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size], rivals[start : start + size]
            radius[chunk] = sum_bound_radius(weights(*chunk), budget[chunk], self.columns)
        return radius


def _head_to_head_attack(
    above: NDArray[np.bool_], label: int, j: int
) -> tuple[NDArray[np.int64], int]:
    """Weights of the ballots, and what j needs to get ahead of the label head to head."""
    return 2 * above.astype(np.int64), int(2 * above.sum() - len(above) + (label < j))
