"""The classes that an input follows: where there are many, rankings are counted for these alone.

Each input has a list of its own, with `NOBODY` in places that are not used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError

NOBODY = -1

# First choices, head-to-head counts and followed classes, as of `Tally` or `LookTally`.
Counts = tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64] | None]


def most_often_first(first_choice: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """`(batch, F)` the classes of most first choices, in that order, ties to the smaller index.

    Args:
        first_choice: `(batch, classes)` ballots that rank the class first.
        size: F, if there are as many classes.
    """
    order: NDArray[np.int64] = np.argsort(-first_choice, axis=1, kind="stable")
    return order[:, :size]


def nobody(batch: int) -> NDArray[np.int64]:
    """`(batch, 0)` followed classes: none, so that no rankings are counted."""
    return np.empty((batch, 0), dtype=np.int64)


def check_followed(followed: NDArray[np.int64], batch: int, num_classes: int) -> None:
    """Raise `InputError` for anything but different classes, or `NOBODY`, for each input."""
    if not np.issubdtype(followed.dtype, np.integer) or followed.ndim != 2:
        raise InputError(
            "expected followed to hold integers of shape (batch, F), "
            f"got {followed.dtype} of shape {followed.shape}"
        )
    if len(followed) != batch or followed.shape[1] > num_classes:
        raise InputError(
            f"expected followed classes for {batch} inputs, at most {num_classes} each, "
            f"got shape {followed.shape}"
        )
    if followed.size and not NOBODY <= followed.min() <= followed.max() < num_classes:
        raise InputError(
            f"expected followed classes between 0 and {num_classes - 1}, or {NOBODY} for none, "
            f"got {followed.min()} to {followed.max()}"
        )
    ordered = np.sort(followed, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOBODY)).any():
        raise InputError("expected different followed classes for each input, got one twice")


def take_counts(counts: Counts, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Counts:
    """Those of the inputs at these rows."""
    first_choice, pairs, followed = counts
    return (
        first_choice[rows],
        None if pairs is None else pairs[rows],
        None if followed is None else followed[rows],
    )


def join_rankings(
    parts: Sequence[Counts],
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Head-to-head counts and followed classes of several parts, one after the other.

    Counts of all classes are there if every part has them. Where classes are followed, a part
    without rankings follows nobody.

    Args:
        parts: all of a `Tally`, or all of a `LookTally`.
    """
    recorded = [(pairs, classes) for _, pairs, classes in parts if pairs is not None]
    lists = [classes for _, classes in recorded if classes is not None]
    if len(lists) < len(recorded):
        complete = len(recorded) == len(parts) and not lists
        return (np.concatenate([pairs for pairs, _ in recorded]) if complete else None), None
    if not lists:
        return None, None
    size = max(classes.shape[1] for classes in lists)
    all_pairs, all_followed = [], []
    for first_choice, pairs, classes in parts:
        followed = np.full((len(first_choice), size), NOBODY, dtype=np.int64)
        counts = np.zeros((*first_choice.shape[:-1], size, first_choice.shape[-1]), dtype=np.int64)
        if pairs is not None and classes is not None:
            followed[:, : classes.shape[1]] = classes
            counts[..., : classes.shape[1], :] = pairs
        all_pairs.append(counts)
        all_followed.append(followed)
    return np.concatenate(all_pairs), np.concatenate(all_followed)
