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
from sparsecert.tally import MOST_CLASSES_HEAD_TO_HEAD, Tally
from sparsecert.theory.sequential import look_schedule


@dataclass(frozen=True)
class LookTally:
    """Counts of the first ballots of a stream, at each look that was reached.

    Attributes:
        budget: n, ballots per input at most; `look_schedule(budget)` are the looks.
        first_choice: `(batch, looks, classes)` integers: of the ballots up to the look, those that
            rank the class first; zeros at looks that were not reached.
        head_to_head: `(batch, looks, classes, classes)` integers: ballots that rank class c above
            class j, at [c, j]; None where rankings were not recorded.

    Raises:
        InputError: for another number of looks than the budget's, counts that are no counts of
            ballots (see `Tally`), do not add up to a look's ballots, or fall from look to look.
    """

    budget: int
    first_choice: NDArray[np.int64]
    head_to_head: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        looks, shape = self.looks, self.first_choice.shape
        if len(shape) != 3 or shape[1] != len(looks):
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

        Beyond `MOST_CLASSES_HEAD_TO_HEAD` classes first choices stand in, for all rivals at once.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        if self.head_to_head is None:
            return self.take_label(self.fewest_wins, label)
        batch, looks, classes = self.first_choice.shape
        wins = np.take_along_axis(self.head_to_head, label[:, None, None, None], axis=2)[:, :, 0]
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
        return Tally(self.first_choice[rows, look], None if pairs is None else pairs[rows, look])

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> LookTally:
        """The inputs at these rows."""
        pairs = self.head_to_head
        return LookTally(
            self.budget, self.first_choice[rows], None if pairs is None else pairs[rows]
        )

    @classmethod
    def empty(cls, budget: int, batch: int, num_classes: int) -> LookTally:
        """Nothing counted yet."""
        shape = (batch, len(look_schedule(budget)), num_classes)
        counts = np.zeros(shape, dtype=np.int64)
        if num_classes > MOST_CLASSES_HEAD_TO_HEAD:
            return cls(budget, counts)
        return cls(budget, counts, np.zeros((*shape, num_classes), dtype=np.int64))

    @classmethod
    def concatenate(cls, parts: Sequence[LookTally]) -> LookTally:
        """One batch after the other, of one budget; with rankings if all have them."""
        pairs = [part.head_to_head for part in parts if part.head_to_head is not None]
        return cls(
            parts[0].budget,
            np.concatenate([part.first_choice for part in parts]),
            np.concatenate(pairs) if len(pairs) == len(parts) else None,
        )

    def _flat(self) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Every look as an input of its own."""
        classes, pairs = self.first_choice.shape[-1], self.head_to_head
        if pairs is not None and pairs.shape != (*self.first_choice.shape, classes):
            raise InputError(
                f"expected head_to_head of shape {(*self.first_choice.shape, classes)}, "
                f"got {pairs.shape}"
            )
        first_choice = self.first_choice.reshape(-1, classes)
        return first_choice, None if pairs is None else pairs.reshape(-1, classes, classes)
