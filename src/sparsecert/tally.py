"""Ballots counted: the pivot between the network and the statistics.

One ballot is the base classifier's answer on one ablation of one input. A tally holds the counts
of a batch of inputs as integers; every certificate and prediction is computed from it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError

# The square of the number of classes is stored per image; beyond this many it is not counted.
MOST_CLASSES_HEAD_TO_HEAD = 32


@dataclass(frozen=True)
class Tally:
    """Counts of ballots.

    Attributes:
        first_choice: `(batch, classes)` integers: ballots that rank the class first.
        head_to_head: `(batch, classes, classes)` integers: ballots that rank class c above
            class j, at [c, j]; None where rankings were not recorded.

    Raises:
        InputError: for counts that are not non-negative integers, shapes that do not match, or
            head-to-head counts that no ballots with these first choices can give.
    """

    first_choice: NDArray[np.int64]
    head_to_head: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_choice", _checked(self.first_choice, 2))
        if self.first_choice.shape[1] < 2:
            raise InputError(f"expected counts of 2 classes or more, got {self.first_choice.shape}")
        if self.head_to_head is not None:
            object.__setattr__(self, "head_to_head", _checked(self.head_to_head, 3))
            batch, classes = self.first_choice.shape
            if self.head_to_head.shape != (batch, classes, classes):
                raise InputError(
                    f"expected head_to_head of shape {(batch, classes, classes)}, "
                    f"got {self.head_to_head.shape}"
                )
            self._check_head_to_head(self.head_to_head)

    def __len__(self) -> int:
        return len(self.first_choice)

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
        many = self.first_choice.shape[1] > MOST_CLASSES_HEAD_TO_HEAD
        return many or self.head_to_head is not None

    @property
    def fewest_wins(self) -> NDArray[np.int64]:
        """`(batch, classes)` ballots that rank the class above its strongest rival.

        Beyond `MOST_CLASSES_HEAD_TO_HEAD` classes rankings are not counted, and first choices
        stand in: a class is above every rival at least on the ballots that rank it first.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        if not self.has_fewest_wins:
            raise InputError(
                "the pairwise rule needs head-to-head counts, and these votes were counted without "
                "them; count again (in a run folder: remove tallies/*.parquet and repeat the "
                "command)"
            )
        if self.head_to_head is None:
            return self.first_choice
        itself = np.eye(self.first_choice.shape[1], dtype=np.int64)
        counts = self.head_to_head + itself * self.num_samples[:, None, None]
        fewest: NDArray[np.int64] = counts.min(axis=2)
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

    def _check_head_to_head(self, pairs: NDArray[np.int64]) -> None:
        itself = np.eye(pairs.shape[1], dtype=np.int64) * self.num_samples[:, None, None]
        if (pairs + pairs.swapaxes(1, 2) + itself != self.num_samples[:, None, None]).any():
            raise InputError(
                "expected head_to_head with [c, j] + [j, c] equal to the number of ballots for "
                "different classes, and 0 at [c, c]"
            )
        if (pairs + itself < self.first_choice[:, :, None]).any():
            raise InputError(
                "expected head_to_head to count a ballot's first choice above every other class, "
                "got fewer than the first choices"
            )


def _checked(counts: NDArray[np.int64], ndim: int) -> NDArray[np.int64]:
    array = np.asarray(counts)
    if array.ndim != ndim:
        raise InputError(f"expected counts with {ndim} dimensions, got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"expected counts to be integers, got dtype {array.dtype}")
    if array.size and array.min() < 0:
        raise InputError(f"expected counts of at least 0, got {array.min()}")
    checked: NDArray[np.int64] = array.astype(np.int64)
    return checked
