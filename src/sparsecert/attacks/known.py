"""What ballots have said, found again by what they retain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

UNKNOWN = -1
_FIRST_CAPACITY = 1 << 14


class KnownBallots:
    """Every ballot that was cast on versions of one image.

    A ballot sees the features that it retains and nothing else, so two versions of an image that
    agree on them get the same answer. What a ballot sees is named by a key of 64 bits: the sum of
    a number for each value that it retains and that is not the original's, and of its own. Two
    sights share a key with probability 2^-64; an attack would then be misled by one ballot of its
    pool, from which nothing is claimed.

    Args:
        original: the image, unchanged.
        masks: `(ballots, entries)` booleans, what each ballot retains.
        num_classes: number of classes.

    Attributes:
        answers: `(cast,)` what is kept of each ballot (`Reading.read`), and more rows to come.
        shares: `(cast, classes)` its soft counts (`Reading.shares`), likewise; half precision.
    """

    def __init__(self, original: Tensor, masks: NDArray[np.bool_], num_classes: int) -> None:
        self._masks, self._values = masks, _bits(original)
        self._own = _mixed(np.arange(len(masks), dtype=np.uint64))
        self._rows: dict[int, int] = {}
        self.answers = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self.shares = np.empty((_FIRST_CAPACITY, num_classes), dtype=np.float16)

    def keys(self, image: Tensor) -> NDArray[np.uint64]:
        """`(ballots,)` names of what each ballot sees of an image."""
        values = _bits(image)
        return self._moved(self._own, self._values, values, np.arange(values.shape[1]))

    def moved(
        self, keys: NDArray[np.uint64], before: Tensor, after: Tensor, entries: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """The keys of an image that differs from another in these entries at most."""
        return self._moved(keys, _bits(before), _bits(after), entries)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The rows of what was seen before, `UNKNOWN` for what was not."""
        row = self._rows.get
        return np.array([row(key, UNKNOWN) for key in keys.tolist()], dtype=np.int64)

    def add(
        self, keys: NDArray[np.uint64], answers: NDArray[np.int64], shares: NDArray[np.float16]
    ) -> None:
        """Keep what ballots said whose keys are new."""
        first = len(self._rows)
        rows = range(first, first + len(keys))
        self._rows.update(zip(keys.tolist(), rows, strict=True))
        while rows.stop > len(self.answers):
            self.answers = np.concatenate((self.answers, np.empty_like(self.answers)))
            self.shares = np.concatenate((self.shares, np.empty_like(self.shares)))
        self.answers[first : rows.stop] = answers
        self.shares[first : rows.stop] = shares

    def _moved(
        self,
        keys: NDArray[np.uint64],
        before: NDArray[np.uint64],
        after: NDArray[np.uint64],
        entries: NDArray[np.int64],
    ) -> NDArray[np.uint64]:
        entries = entries[(before[:, entries] != after[:, entries]).any(axis=0)]
        moves = self._numbers(after, entries) - self._numbers(before, entries)
        return np.asarray(keys + self._masks[:, entries] @ moves)

    def _numbers(
        self, values: NDArray[np.uint64], entries: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """`(entries,)` a number for what an entry holds in all of its channels."""
        places = np.arange(len(values))[:, None] * values.shape[1] + entries
        numbers = _mixed(_mixed(places.astype(np.uint64)) ^ values[:, entries])
        return np.asarray(numbers.sum(axis=0, dtype=np.uint64))


def _bits(image: Tensor) -> NDArray[np.uint64]:
    """`(channels, entries)` each value's bits; what is missing has those of NaN."""
    values = image.double().cpu().numpy()
    return values.reshape(1 if image.ndim == 1 else len(image), -1).view(np.uint64)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele et al. 2014), a bijection."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
