"""Ballots counted: the pivot between the network and the statistics.

One ballot is the base classifier's ranking of the classes on one ablation of one input. A tally
holds the counts of a batch of inputs as integers, at every look that was reached; every certificate
and prediction is computed from it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.votes.tracked_classes import (
    NO_CLASS,
    Counts,
    check_tracked,
    join_rankings,
    tracks_few,
)

# Of the classes that an input tracks, so many are counted: at several looks fewer, for which counts
# take three times the room of first choices alone.
_MOST_TRACKED, _MOST_TRACKED_AT_LOOKS = 8, 2


def most_tracked(looks: Sequence[int]) -> int:
    """How many tracked classes are counted under a schedule."""
    return _MOST_TRACKED if len(looks) == 1 else _MOST_TRACKED_AT_LOOKS


@dataclass(frozen=True)
class Tally:
    """Counts of ballots.

    A tally without looks holds counts of a number of ballots that was fixed beforehand: it has one
    look, at all ballots of an input. With several looks, arrays have one more axis after the batch,
    and are 0 at looks that were not reached: counting may have stopped at any of them, for any
    reason, and certificates allow for that.

    Attributes:
        first_choice: `(batch, classes)` or `(batch, looks, classes)` integers: ballots, up to the
            look, that rank the class first.
        head_to_head: `(batch, T, classes)` or `(batch, looks, T, classes)` integers: ballots that
            rank tracked class t above class j, at [t, j], and 0 where j is t; None where rankings
            were not recorded.
        tracked_classes: `(batch, T)` integers: the classes that each input tracks, the same at
            every look, or `NO_CLASS` (-1), with counts of 0; None where head-to-head counts are of
            all classes in order.
        looks: numbers of ballots, rising, the budget last; None for one look, at all ballots.

    Raises:
        InputError: for counts that are not non-negative integers, shapes that do not match, tracked
            classes that are none or not different, head-to-head counts that no ballots with these
            first choices can give, or counts that do not add up to a look's ballots or fall from
            look to look.
    """

    first_choice: NDArray[np.int64]
    head_to_head: NDArray[np.int64] | None = None
    tracked_classes: NDArray[np.int64] | None = None
    looks: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        ndim = 2 if self.looks is None else 3
        first_choice = _as_counts(self.first_choice, ndim)
        object.__setattr__(self, "first_choice", first_choice)
        batch, classes = len(first_choice), first_choice.shape[-1]
        if classes < 2:
            raise InputError(f"expected counts of 2 classes or more, got {first_choice.shape}")
        if self.looks is not None and first_choice.shape[1] != len(self.looks):
            raise InputError(
                f"expected counts of shape (batch, {len(self.looks)}, classes), one for each of "
                f"the looks {self.looks}, got {first_choice.shape}"
            )
        size = classes
        if self.tracked_classes is not None:
            tracked = np.asarray(self.tracked_classes)
            check_tracked(tracked, batch, classes)
            object.__setattr__(self, "tracked_classes", tracked.astype(np.int64))
            size = tracked.shape[1]
            if self.head_to_head is None:
                raise InputError("expected head_to_head counts of the tracked classes, got none")
        if self.head_to_head is not None:
            object.__setattr__(self, "head_to_head", _as_counts(self.head_to_head, ndim + 1))
            expected = (*first_choice.shape[:-1], size, classes)
            if self.head_to_head.shape != expected:
                raise InputError(
                    f"expected head_to_head of shape {expected}, got {self.head_to_head.shape}"
                )
            self._check_head_to_head()
        if self.looks is not None:
            self._check_looks(np.asarray(self.looks))

    def __len__(self) -> int:
        return len(self.first_choice)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.first_choice.shape[-1])

    @property
    def counts(self) -> Counts:
        """The arrays."""
        return self.first_choice, self.head_to_head, self.tracked_classes

    @property
    def reached(self) -> NDArray[np.bool_]:
        """`(batch, looks)` whether the look was reached; the only look of a fixed number is."""
        if self.looks is None:
            return np.ones((len(self), 1), dtype=np.bool_)
        return np.asarray(self.first_choice.sum(axis=2) > 0)

    @property
    def num_reached(self) -> NDArray[np.int64]:
        """`(batch,)` how many looks were reached."""
        count: NDArray[np.int64] = self.reached.sum(axis=1)
        return count

    @property
    def votes(self) -> NDArray[np.int64]:
        """`(batch, classes)` first choices of all ballots that were counted."""
        if self.looks is None:
            return self.first_choice
        return self.first_choice[np.arange(len(self)), np.maximum(self.num_reached - 1, 0)]

    @property
    def top(self) -> NDArray[np.int64]:
        """`(batch,)` classes with the most first choices; the smaller index wins a tie."""
        classes: NDArray[np.int64] = self.votes.argmax(axis=1)
        return classes

    @property
    def num_samples(self) -> NDArray[np.int64]:
        """`(batch,)` ballots per input that were counted."""
        total: NDArray[np.int64] = self.votes.sum(axis=1)
        return total

    @property
    def has_rankings(self) -> bool:
        """Whether the votes suffice for the pairwise rule."""
        return tracks_few(self.num_classes) or self.head_to_head is not None

    @property
    def min_pairwise_wins(self) -> NDArray[np.int64]:
        """Ballots that rank each class above its strongest rival, of `first_choice`'s shape.

        For classes that are not tracked first choices stand in: a class is above every rival at
        least on the ballots that rank it first. (A bound from below, which is what rules ask for.)

        Raises:
            InputError: if rankings of all classes could have been recorded and were not.
        """
        if not self.has_rankings:
            raise InputError(
                "the pairwise rule needs head-to-head counts, and these votes were counted without "
                "them; count again (in a run folder: remove tallies/*.parquet and repeat the "
                "command)"
            )
        if self.head_to_head is None:
            return self.first_choice
        first, pairs, tracked = self._rows()
        fewest = first.copy()
        rows, places = np.nonzero(tracked >= 0)
        strongest = _with_itself(pairs, tracked, first.sum(axis=1)).min(axis=2)
        fewest[rows, tracked[rows, places]] = strongest[rows, places]
        return fewest.reshape(self.first_choice.shape)

    @property
    def pairwise_winner(self) -> NDArray[np.int64]:
        """`(batch,)` classes that more than half of the ballots rank above each other class.

        There is at most one; -1 where there is none. Of a tally without looks.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        wins = self.min_pairwise_wins
        classes: NDArray[np.int64] = wins.argmax(axis=1)
        return np.where(2 * wins.max(axis=1) > self.num_samples, classes, -1)

    def wins_of(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(batch, looks, rivals)` ballots that rank each input's label above each rival.

        Where the label is not tracked, its first choices stand in for all of them. Where no input
        tracks any class, they stand in as one rival. A tally without looks has one look.

        Raises:
            InputError: if rankings could have been recorded and were not.
        """
        if self.looks is None:
            first, pairs = self.first_choice[:, None], self.head_to_head
            pairs = None if pairs is None else pairs[:, None]
            looks = (max(1, int(self.num_samples.max(initial=1))),)
            return self.trusted(first, pairs, self.tracked_classes, looks).wins_of(label)
        if self.head_to_head is None:
            return of_label(self.min_pairwise_wins, label)[..., None]
        batch, looks, classes = self.first_choice.shape
        place, known = label, np.ones(batch, dtype=np.bool_)
        if self.tracked_classes is not None:
            is_label = self.tracked_classes == label[:, None]
            place, known = is_label.argmax(axis=1), is_label.any(axis=1)
        wins = np.take_along_axis(self.head_to_head, place[:, None, None, None], axis=2)[:, :, 0]
        wins = np.where(known[:, None, None], wins, of_label(self.first_choice, label)[..., None])
        rivals = np.arange(classes)[None, :] != label[:, None]
        each: NDArray[np.int64] = wins.swapaxes(1, 2)[rivals]
        return each.reshape(batch, classes - 1, looks).swapaxes(1, 2)

    def until(self, look: NDArray[np.int64]) -> Tally:
        """The same tally with the counts after a look of each input's own forgotten.

        Args:
            look: `(batch,)` which look, from 0, is the last that is kept.
        """
        if self.looks is None:
            return self
        kept = np.arange(len(self.looks)) <= look[:, None]
        pairs = self.head_to_head
        return self.trusted(
            np.where(kept[:, :, None], self.first_choice, 0),
            None if pairs is None else np.where(kept[:, :, None, None], pairs, 0),
            self.tracked_classes,
            self.looks,
        )

    @property
    def latest(self) -> Tally:
        """The counts of all ballots that were counted, as a tally without looks."""
        if self.looks is None:
            return self
        rows, last = np.arange(len(self)), np.maximum(self.num_reached - 1, 0)
        pairs = None if self.head_to_head is None else self.head_to_head[rows, last]
        return self.trusted(self.first_choice[rows, last], pairs, self.tracked_classes, None)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Tally:
        """The inputs at these rows."""
        first_choice, pairs, tracked = self.counts
        return self.trusted(
            first_choice[rows],
            None if pairs is None else pairs[rows],
            None if tracked is None else tracked[rows],
            self.looks,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Tally]) -> Tally:
        """One batch after the other, of the same looks; with rankings if every part has them."""
        first_choice = np.concatenate([part.first_choice for part in parts])
        rankings = join_rankings([part.counts for part in parts])
        return cls.trusted(first_choice, *rankings, parts[0].looks)

    @classmethod
    def empty(cls, looks: tuple[int, ...] | None, batch: int, num_classes: int) -> Tally:
        """Nothing counted yet; where classes are tracked, none is."""
        shape = (batch,) if looks is None else (batch, len(looks))
        tracked, size = None, num_classes
        if tracks_few(num_classes):
            size = min(most_tracked(looks or (0,)), num_classes)
            tracked = np.full((batch, size), NO_CLASS, dtype=np.int64)
        pairs = np.zeros((*shape, size, num_classes), dtype=np.int64)
        return cls.trusted(np.zeros((*shape, num_classes), np.int64), pairs, tracked, looks)

    @classmethod
    def trusted(
        cls,
        first_choice: NDArray[np.int64],
        head_to_head: NDArray[np.int64] | None,
        tracked_classes: NDArray[np.int64] | None,
        looks: tuple[int, ...] | None,
    ) -> Tally:
        """A tally of counts that were checked before, or made by counting; nothing is checked."""
        tally = object.__new__(cls)
        names = ("first_choice", "head_to_head", "tracked_classes", "looks")
        for name, value in zip(
            names, (first_choice, head_to_head, tracked_classes, looks), strict=True
        ):
            object.__setattr__(tally, name, value)
        return tally

    def _rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """First choices, head-to-head counts and tracked classes, every look a row of its own."""
        assert self.head_to_head is not None
        first = self.first_choice.reshape(-1, self.num_classes)
        pairs = self.head_to_head.reshape(-1, *self.head_to_head.shape[-2:])
        tracked = self.tracked_classes
        if tracked is None:
            return first, pairs, np.broadcast_to(np.arange(self.num_classes), first.shape)
        return first, pairs, np.repeat(tracked, len(first) // max(1, len(self)), axis=0)

    def _check_head_to_head(self) -> None:
        first, pairs, tracked = self._rows()
        total, known = first.sum(axis=1)[:, None, None], tracked >= 0
        if pairs[~known].any():
            raise InputError(f"expected head_to_head of 0 where {NO_CLASS} is tracked")
        rows = np.maximum(tracked, 0)
        among = np.take_along_axis(pairs, rows[:, None, :], axis=2)
        different = known[:, :, None] & known[:, None, :] & ~np.eye(rows.shape[1], dtype=bool)
        if ((among + among.swapaxes(1, 2) != total) & different).any() or np.take_along_axis(
            pairs, rows[:, :, None], axis=2
        ).any():
            raise InputError(
                "expected head_to_head with [c, j] + [j, c] equal to the number of ballots for "
                "different classes, and 0 at [c, c]"
            )
        own = np.take_along_axis(first, rows, axis=1)[:, :, None]
        least = _with_itself(pairs, tracked, total[:, 0, 0])
        if ((least < own) & known[:, :, None]).any():
            raise InputError(
                "expected head_to_head to count a ballot's first choice above every other class, "
                "got fewer than the first choices"
            )
        if self.tracked_classes is not None and (pairs + first[:, None, :] > total).any():
            raise InputError(
                "expected head_to_head of at most the ballots that do not rank the rival first"
            )

    def _check_looks(self, looks: NDArray[np.int64]) -> None:
        if not looks.size or looks.min() < 1 or (np.diff(looks) <= 0).any():
            raise InputError(f"expected looks that rise, from 1 on, got {self.looks}")
        totals = self.first_choice.sum(axis=2)
        reached = np.logical_and.accumulate(totals > 0, axis=1)
        if (totals != np.where(reached, looks, 0)).any():
            raise InputError(
                f"expected counts that add up to {', '.join(map(str, looks))} ballots, by look, "
                "and to 0 from where counting stopped"
            )
        for counts in (self.first_choice, self.head_to_head):
            if counts is not None and (np.diff(counts, axis=1)[reached[:, 1:]] < 0).any():
                raise InputError("expected counts that do not fall from one look to the next")


def of_label(counts: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts, by class on the last axis, of each input's label: that axis is dropped."""
    places = label.reshape(-1, *[1] * (counts.ndim - 1))
    return np.take_along_axis(counts, places, axis=-1)[..., 0]


def _with_itself(
    pairs: NDArray[np.int64], tracked: NDArray[np.int64], total: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A copy in which every class is above itself on all ballots."""
    counts, itself = pairs.copy(), np.maximum(tracked, 0)[:, :, None]
    np.put_along_axis(counts, itself, total[:, None, None], axis=2)
    return counts


def _as_counts(counts: NDArray[np.int64], ndim: int) -> NDArray[np.int64]:
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
