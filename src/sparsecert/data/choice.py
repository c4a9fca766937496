"""Which examples of a data set are looked at, where not all of them are."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError, as_integer


@dataclass(frozen=True)
class Shard:
    """One of several shares of some examples.

    Together they are all of these examples, no two have one in common, and their sizes differ by at
    most one.

    Attributes:
        number: which, from 1.
        count: how many there are.

    Raises:
        InputError: for a number out of range.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= as_integer(self.number, "the shard") <= as_integer(self.count, "their count"):
            raise InputError(
                f"expected a shard from 1/{self.count} to {self.count}/{self.count}, got {self}"
            )

    @classmethod
    def parse(cls, words: str) -> Shard:
        """The shard that is written so.

        Raises:
            InputError: for what is none.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", words, re.ASCII)
        if match is None:
            raise InputError(
                f"expected a shard as i/N, such as 3/8 for the third of eight, got {words!r}"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def rows(self, size: int) -> NDArray[np.int64]:
        """Which of so many examples are in it, rising: spread as these are.

        It is one of each `count` successive examples, in a fixed random order: of every `count`-th,
        most would be of one class where classes come in turns.

        Raises:
            InputError: if there are fewer examples than shards.
        """
        if size < self.count:
            raise InputError(
                f"expected at most {size} shards, as there are {size} images, got {self.count}"
            )
        priority = np.random.default_rng(0).permutation(size)
        order = np.lexsort((priority, np.arange(size) // self.count))
        rows: NDArray[np.int64] = np.sort(order[self.number - 1 :: self.count])
        return rows


def check_limit(limit: int | None) -> None:
    """Raise `InputError` for a number of inputs under 1."""
    if limit is not None and as_integer(limit, "limit") < 1:
        raise InputError(f"expected limit to be at least 1, got {limit}")


def evenly_spread(size: int, limit: int | None) -> NDArray[np.int64]:
    """`limit` indices spread evenly over 0..size-1; all of them without a limit."""
    check_limit(limit)
    if limit is None or limit >= size:
        return np.arange(size)
    return np.arange(limit) * size // limit


def representatives(labels: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    """`limit` examples spread evenly over a data set, whatever the order of its classes.

    They are the first of each of `limit` stretches of equal length. Where the classes come in
    turns, those would be of a few classes: of 10 that alternate, every hundredth example is of the
    same one. There, most examples being of the class of that one turn before them, they are of
    each stretch the one that comes first in a fixed random order. Either way, those of a limit that
    divides another are among the other's, if both divide the number of examples.

    Args:
        labels: `(examples,)` classes of the whole data set, in its order.
        limit: how many; None for all.

    Returns:
        Their indices, rising.

    Raises:
        InputError: for a limit under 1.
    """
    first = evenly_spread(len(labels), limit)
    if len(first) == len(labels):
        return first
    turn = len(np.unique(labels))
    as_a_turn_before = labels[turn:] == labels[:-turn]
    as_just_before = labels[turn:] == labels[turn - 1 : -1]  # sorted classes are no turns
    if 2 * np.count_nonzero(as_a_turn_before & ~as_just_before) <= len(as_a_turn_before):
        return first
    priority = np.random.default_rng(0).permutation(len(labels))
    order = np.argsort(priority)
    stretch = np.searchsorted(first, order, "right") - 1
    return order[np.unique(stretch, return_index=True)[1]]


def held_out(size: int, number: int) -> NDArray[np.int64]:
    """`number` training examples that a run does not train on; the same for every run.

    They are drawn at random, as every n-th example need not be like the others.

    Raises:
        InputError: unless some are left to train on.
    """
    if not 0 <= as_integer(number, "held_out") < size:
        raise InputError(f"expected from 0 to {size - 1} held-out examples of {size}, got {number}")
    order = np.random.default_rng(0).permutation(size)
    return np.sort(order[:number])
