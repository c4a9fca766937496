"""Ballots counted: the pivot between the network and the statistics.

One ballot is the base classifier's answer on one ablation of one input. A tally holds the counts
of a batch of inputs as integers; every certificate and prediction is computed from it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError


@dataclass(frozen=True)
class Tally:
    """Counts of ballots.

    Attributes:
        first_choice: `(batch, classes)` integers: ballots that rank the class first.
        head_to_head: `(batch, classes, classes)` integers: ballots that rank class c above
            class j, at [c, j]; None where rankings were not recorded.

    Raises:
        InputError: for counts that are not non-negative integers, or shapes that do not match.
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
