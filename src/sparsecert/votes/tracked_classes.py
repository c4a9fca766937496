"""The classes that an input tracks: where there are many, rankings are counted for these alone.

Each input has a list of its own, with `NO_CLASS` in places that are not used. Any list is sound; a
bad one costs certificates (`theory.pairwise` has the proof).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError

NO_CLASS = -1
# The square of the number of classes is stored per image; beyond this many, each image tracks a few
# classes only.
MOST_CLASSES_HEAD_TO_HEAD = 32

# First choices, head-to-head counts and tracked classes, as of a `Tally`.
Counts = tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64] | None]


def tracks_few(num_classes: int) -> bool:
    """Whether there are too many classes to count every pair of them."""
    return num_classes > MOST_CLASSES_HEAD_TO_HEAD


def track_nothing(batch: int) -> NDArray[np.int64]:
    """`(batch, 0)` tracked classes: none, so that no rankings are counted."""
    return np.empty((batch, 0), dtype=np.int64)


def most_often_first(first_choice: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """`(batch, T)` the classes of most first choices, in that order, ties to the smaller index.

    Args:
        first_choice: `(batch, classes)` ballots that rank the class first.
        size: T, if there are as many classes.
    """
    order: NDArray[np.int64] = np.argsort(-first_choice, axis=1, kind="stable")
    return order[:, :size]


def check_tracked(tracked: NDArray[np.int64], batch: int, num_classes: int) -> None:
    """Raise `InputError` for anything but different classes, or `NO_CLASS`, for each input."""
    if not np.issubdtype(tracked.dtype, np.integer) or tracked.ndim != 2:
        raise InputError(
            "expected tracked classes as integers of shape (batch, T), "
            f"got {tracked.dtype} of shape {tracked.shape}"
        )
    if len(tracked) != batch or tracked.shape[1] > num_classes:
        raise InputError(
            f"expected tracked classes for {batch} inputs, at most {num_classes} each, "
            f"got shape {tracked.shape}"
        )
    if tracked.size and not NO_CLASS <= tracked.min() <= tracked.max() < num_classes:
        raise InputError(
            f"expected tracked classes between 0 and {num_classes - 1}, or {NO_CLASS} for none, "
            f"got {tracked.min()} to {tracked.max()}"
        )
    ordered = np.sort(tracked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_CLASS)).any():
        raise InputError("expected different tracked classes for each input, got one twice")


def join_rankings(
    parts: Sequence[Counts],
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Head-to-head counts and tracked classes of several parts, one after the other.

    Counts of all classes are there if every part has them. Where classes are tracked, a part
    without rankings tracks none.
    """
    recorded = [(pairs, classes) for _, pairs, classes in parts if pairs is not None]
    lists = [classes for _, classes in recorded if classes is not None]
    if len(lists) < len(recorded):
        complete = len(recorded) == len(parts) and not lists
        return (np.concatenate([pairs for pairs, _ in recorded]) if complete else None), None
    if not lists:
        return None, None
    size = max(classes.shape[1] for classes in lists)
    all_pairs, all_tracked = [], []
    for first_choice, pairs, classes in parts:
        tracked = np.full((len(first_choice), size), NO_CLASS, dtype=np.int64)
        counts = np.zeros((*first_choice.shape[:-1], size, first_choice.shape[-1]), dtype=np.int64)
        if pairs is not None and classes is not None:
            tracked[:, : classes.shape[1]] = classes
            counts[..., : classes.shape[1], :] = pairs
        all_pairs.append(counts)
        all_tracked.append(tracked)
    return np.concatenate(all_pairs), np.concatenate(all_tracked)
