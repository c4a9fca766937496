"""Counts at several looks: what sequential sampling stores of each input.

A look is a number of ballots at which the counts so far are read. All inputs have the same looks,
fixed by the budget alone; counting may stop at any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.theory.sequential import look_schedule
from sparsecert.votes.tally import Tally, checked_counts, follows_few
from sparsecert.votes.tracked_classes import (
    NOBODY,
    Counts,
    check_followed,
    join_rankings,
    take_counts,
)

# Of the classes that an input follows, so many are counted at looks: with them, counts take three
# times the room of first choices alone.
MOST_FOLLOWED_AT_LOOKS = 2


@dataclass(frozen=True)
class LookTally:
    """Counts of the first ballots of a stream, at each look that was reached.

    Attributes:
        budget: n, ballots per input at most; `look_schedule(budget)` are the looks.
        first_choice: `(batch, looks, classes)` integers: of the ballots up to the look, those that
            rank the class first; zeros at looks that were not reached.
        head_to_head: `(batch, looks, F, classes)` integers: ballots that rank followed class f
            above class j, at [f, j]; None where rankings were not recorded.
        followed: `(batch, F)` integers: the classes that each input follows, the same at every
            look; None where head-to-head counts are of all classes in order (see `Tally`).

    Raises:
        InputError: for another number of looks than the budget's, counts that are no counts of
            ballots (see `Tally`), do not add up to a look's ballots, or fall from look to look.
    """

    budget: int
    first_choice: NDArray[np.int64]
    head_to_head: NDArray[np.int64] | None = None
    followed: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        # Of unsigned integers a difference cannot be negative.
        object.__setattr__(self, "first_choice", checked_counts(self.first_choice, 3))
        if self.head_to_head is not None:
            object.__setattr__(self, "head_to_head", checked_counts(self.head_to_head, 4))
        looks, shape = self.looks, self.first_choice.shape
        if shape[1] != len(looks):
            raise InputError(
                f"expected counts of shape (batch, {len(looks)}, classes), as a budget of "
                f"{self.budget} has {len(looks)} looks, got {shape}"
            )
        Tally(*self._flat())
        totals = self.first_choice.sum(axis=2)
        reached = np.logical_and.accumulate(totals > 0, axis=1)
        if (totals != np.where(reached, looks, 0)).any():
            raise InputError(
                f"expected counts that add up to {', '.join(map(str, looks))} ballots, by look, "
                "and to 0 from where counting stopped"
            )
        for counts in (self.first_choice, self.head_to_head):
            if counts is None:
                continue
            rise = np.diff(counts, axis=1)
            if (rise[reached[:, 1:]] < 0).any():
                raise InputError("expected counts that do not fall from one look to the next")

    def __len__(self) -> int:
        return len(self.first_choice)

    @property
    def looks(self) -> NDArray[np.int64]:
        """`(looks,)` numbers of ballots, the budget last."""
        return look_schedule(self.budget)

    @property
    def num_reached(self) -> NDArray[np.int64]:
        """`(batch,)` how many looks were reached."""
        count: NDArray[np.int64] = self.reached.sum(axis=1)
        return count

    @property
    def reached(self) -> NDArray[np.bool_]:
        """`(batch, looks)` whether the look was reached."""
        reached: NDArray[np.bool_] = self.first_choice.sum(axis=2) > 0
        return reached

    @property
    def has_fewest_wins(self) -> bool:
        """Whether the votes suffice for the pairwise rule."""
        return Tally(*self._flat()).has_fewest_wins

    @property
    def fewest_wins(self) -> NDArray[np.int64]:
        """`(batch, looks, classes)` as `Tally.fewest_wins`, at each look.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        wins: NDArray[np.int64] = Tally(*self._flat()).fewest_wins
        return wins.reshape(self.first_choice.shape)

    def wins_of(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(batch, looks, rivals)` ballots that rank each input's label above each rival.

        Where the label is not followed, its first choices stand in for all of them. Where no input
        follows any class, they stand in as one rival.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        if self.head_to_head is None:
            return self.take_label(self.fewest_wins, label)
        batch, looks, classes = self.first_choice.shape
        place, known = label, np.ones(batch, dtype=np.bool_)
        if self.followed is not None:
            is_label = self.followed == label[:, None]
            place, known = is_label.argmax(axis=1), is_label.any(axis=1)
        wins = np.take_along_axis(self.head_to_head, place[:, None, None, None], axis=2)[:, :, 0]
        wins = np.where(known[:, None, None], wins, self.take_label(self.first_choice, label))
        rivals = np.arange(classes)[None, :] != label[:, None]
        each: NDArray[np.int64] = wins.swapaxes(1, 2)[rivals]
        return each.reshape(batch, classes - 1, looks).swapaxes(1, 2)

    @staticmethod
    def take_label(counts: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(batch, looks, 1)` the counts, by class, of each input's label."""
        return np.take_along_axis(counts, label[:, None, None], axis=2)

    def at(self, look: NDArray[np.int64]) -> Tally:
        """The votes of each input up to a look of its own.

        Args:
            look: `(batch,)` which look, from 0.
        """
        rows, pairs = np.arange(len(self)), self.head_to_head
        return Tally(
            self.first_choice[rows, look],
            None if pairs is None else pairs[rows, look],
            self.followed,
        )

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> LookTally:
        """The inputs at these rows."""
        return LookTally(self.budget, *take_counts(self.counts, rows))

    @classmethod
    def empty(cls, budget: int, batch: int, num_classes: int) -> LookTally:
        """Nothing counted yet; where classes are followed, nobody is."""
        looks = len(look_schedule(budget))
        counts, followed, size = np.zeros((batch, looks, num_classes), np.int64), None, num_classes
        if follows_few(num_classes):
            size = min(MOST_FOLLOWED_AT_LOOKS, num_classes)
            followed = np.full((batch, size), NOBODY, dtype=np.int64)
        pairs = np.zeros((batch, looks, size, num_classes), dtype=np.int64)
        return cls(budget, counts, pairs, followed)

    @classmethod
    def concatenate(cls, parts: Sequence[LookTally]) -> LookTally:
        """One batch after the other, of one budget; see `Tally.concatenate`."""
        first_choice = np.concatenate([part.first_choice for part in parts])
        rankings = join_rankings([part.counts for part in parts])
        return cls(parts[0].budget, first_choice, *rankings)

    @property
    def counts(self) -> Counts:
        """The arrays."""
        return self.first_choice, self.head_to_head, self.followed

    def _flat(self) -> Counts:
        """Every look as an input of its own."""
        batch, looks, classes = self.first_choice.shape
        pairs, followed, size = self.head_to_head, self.followed, classes
        if followed is not None:
            check_followed(followed, batch, classes)
            size = followed.shape[1]
            followed = np.repeat(followed, looks, axis=0)
        if pairs is not None:
            if pairs.shape != (batch, looks, size, classes):
                raise InputError(
                    f"expected head_to_head of shape {(batch, looks, size, classes)}, "
                    f"got {pairs.shape}"
                )
            pairs = pairs.reshape(-1, size, classes)
        return self.first_choice.reshape(-1, classes), pairs, followed
