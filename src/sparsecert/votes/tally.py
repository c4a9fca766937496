"""Ballots counted: the pivot between the network and the statistics.

One ballot is the base classifier's answer on one ablation of one input. A tally holds the counts
of a batch of inputs as integers; every certificate and prediction is computed from it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.votes.tracked_classes import (
    NOBODY,
    Counts,
    check_followed,
    join_rankings,
    take_counts,
)

# The square of the number of classes is stored per image; beyond this many, each image follows a
# few classes only.
MOST_CLASSES_HEAD_TO_HEAD = 32


def follows_few(num_classes: int) -> bool:
    """Whether there are too many classes to count every pair of them."""
    return num_classes > MOST_CLASSES_HEAD_TO_HEAD


@dataclass(frozen=True)
class Tally:
    """Counts of ballots.

    Attributes:
        first_choice: `(batch, classes)` integers: ballots that rank the class first.
        head_to_head: `(batch, F, classes)` integers: ballots that rank followed class f above
            class j, at [f, j], and 0 where j is f; None where rankings were not recorded.
        followed: `(batch, F)` integers: the classes that each input follows, or `NOBODY` (-1),
            with counts of 0; None where head-to-head counts are of all classes in order.

    Raises:
        InputError: for counts that are not non-negative integers, shapes that do not match,
            followed classes that are none or not different, or head-to-head counts that no
            ballots with these first choices can give.
    """

    first_choice: NDArray[np.int64]
    head_to_head: NDArray[np.int64] | None = None
    followed: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_choice", checked_counts(self.first_choice, 2))
        batch, classes = self.first_choice.shape
        if classes < 2:
            raise InputError(f"expected counts of 2 classes or more, got {self.first_choice.shape}")
        size = classes
        if self.followed is not None:
            followed = np.asarray(self.followed)
            check_followed(followed, batch, classes)
            object.__setattr__(self, "followed", followed.astype(np.int64))
            size = followed.shape[1]
            if self.head_to_head is None:
                raise InputError("expected head_to_head counts of the followed classes, got none")
        if self.head_to_head is not None:
            object.__setattr__(self, "head_to_head", checked_counts(self.head_to_head, 3))
            if self.head_to_head.shape != (batch, size, classes):
                raise InputError(
                    f"expected head_to_head of shape {(batch, size, classes)}, "
                    f"got {self.head_to_head.shape}"
                )
            self._check_head_to_head(self.head_to_head)

    def __len__(self) -> int:
        return len(self.first_choice)

    @property
    def counts(self) -> Counts:
        """The arrays."""
        return self.first_choice, self.head_to_head, self.followed

    @property
    def num_samples(self) -> NDArray[np.int64]:
        """`(batch,)` ballots per input."""
        total: NDArray[np.int64] = self.first_choice.sum(axis=1)
        return total

    @property
    def top(self) -> NDArray[np.int64]:
        """`(batch,)` classes with the most first choices; the smaller index wins a tie."""
        classes: NDArray[np.int64] = self.first_choice.argmax(axis=1)
        return classes

    @property
    def has_fewest_wins(self) -> bool:
        """Whether the votes suffice for the pairwise rule."""
        return follows_few(self.first_choice.shape[1]) or self.head_to_head is not None

    @property
    def fewest_wins(self) -> NDArray[np.int64]:
        """`(batch, classes)` ballots that rank the class above its strongest rival.

        For classes that are not followed first choices stand in: a class is above every rival at
        least on the ballots that rank it first. (A bound from below, which is what rules ask for.)

        Raises:
            InputError: if rankings of all classes could have been recorded and were not.
        """
        if not self.has_fewest_wins:
            raise InputError(
                "the pairwise rule needs head-to-head counts, and these votes were counted without "
                "them; count again (in a run folder: remove tallies/*.parquet and repeat the "
                "command)"
            )
        if self.head_to_head is None:
            return self.first_choice
        fewest = self.first_choice.copy()
        rows, places = np.nonzero(self._rows >= 0)
        strongest = self._with_itself(self.head_to_head).min(axis=2)
        fewest[rows, self._rows[rows, places]] = strongest[rows, places]
        return fewest

    @property
    def pairwise_winner(self) -> NDArray[np.int64]:
        """`(batch,)` classes that more than half of the ballots rank above each other class.

        There is at most one; -1 where there is none.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        wins = self.fewest_wins
        classes: NDArray[np.int64] = wins.argmax(axis=1)
        return np.where(2 * wins.max(axis=1) > self.num_samples, classes, -1)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Tally:
        """The inputs at these rows."""
        return Tally(*take_counts(self.counts, rows))

    @classmethod
    def concatenate(cls, parts: Sequence[Tally]) -> Tally:
        """One batch after the other; with rankings of all classes if every part has them."""
        counts = [part.counts for part in parts]
        return cls(np.concatenate([first for first, _, _ in counts]), *join_rankings(counts))

    @property
    def _rows(self) -> NDArray[np.int64]:
        """`(batch, F)` the class of each row of the head-to-head counts, or `NOBODY`."""
        if self.followed is not None:
            return self.followed
        batch, classes = self.first_choice.shape
        return np.broadcast_to(np.arange(classes), (batch, classes))

    def _with_itself(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """A copy in which every class is above itself on all ballots."""
        counts, itself = pairs.copy(), np.maximum(self._rows, 0)[:, :, None]
        np.put_along_axis(counts, itself, self.num_samples[:, None, None], axis=2)
        return counts

    def _check_head_to_head(self, pairs: NDArray[np.int64]) -> None:
        total, known = self.num_samples[:, None, None], self._rows >= 0
        if pairs[~known].any():
            raise InputError(f"expected head_to_head of 0 where {NOBODY} is followed")
        rows = np.maximum(self._rows, 0)
        among = np.take_along_axis(pairs, rows[:, None, :], axis=2)
        different = known[:, :, None] & known[:, None, :] & ~np.eye(rows.shape[1], dtype=bool)
        if ((among + among.swapaxes(1, 2) != total) & different).any() or np.take_along_axis(
            pairs, rows[:, :, None], axis=2
        ).any():
            raise InputError(
                "expected head_to_head with [c, j] + [j, c] equal to the number of ballots for "
                "different classes, and 0 at [c, c]"
            )
        first = np.take_along_axis(self.first_choice, rows, axis=1)
        if ((self._with_itself(pairs) < first[:, :, None]) & known[:, :, None]).any():
            raise InputError(
                "expected head_to_head to count a ballot's first choice above every other class, "
                "got fewer than the first choices"
            )
        if self.followed is not None and (pairs + self.first_choice[:, None, :] > total).any():
            raise InputError(
                "expected head_to_head of at most the ballots that do not rank the rival first"
            )


def checked_counts(counts: NDArray[np.int64], ndim: int) -> NDArray[np.int64]:
    """Counts as 64-bit integers; raises `InputError` for anything but integers of at least 0."""
    array = np.asarray(counts)
    if array.ndim != ndim:
        raise InputError(f"expected counts with {ndim} dimensions, got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"expected counts to be integers, got dtype {array.dtype}")
    if array.size and array.min() < 0:
        raise InputError(f"expected counts of at least 0, got {array.min()}")
    checked: NDArray[np.int64] = array.astype(np.int64)
    return checked
