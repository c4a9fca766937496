"""Spaces of binary images small enough to list, and what is rare enough to be chance."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

import sparsecert as sc

CLASSES = 3
RANKINGS = np.array(list(itertools.permutations(range(CLASSES))))
_PLACES = np.argsort(RANKINGS, axis=1)
ABOVE = (_PLACES[:, :, None] < _PLACES[:, None, :]).astype(np.int64)  # (rankings, c, j)


def binary_images(d: int) -> NDArray[np.int64]:
    """`(2^d, d)` every image of d binary features."""
    return np.array(list(itertools.product((0, 1), repeat=d)))


def distances(d: int) -> NDArray[np.int64]:
    """`(2^d, 2^d)` the number of features in which two of them differ."""
    bits = np.arange(2**d)
    return np.bitwise_count(bits[:, None] ^ bits[None, :]).astype(np.int64)


def all_ballots(d: int, k: int, rng: np.random.Generator) -> sc.Tally:
    """Ballots of one random base classifier on every binary image, over all retained sets.

    The base classifier is any function from the retained set and values to a ranking: a random
    table with one entry for each, of a random lopsidedness so that every share occurs.
    """
    images = binary_images(d)
    favour = rng.dirichlet(np.full(len(RANKINGS), 0.2))
    first = np.zeros((2**d, CLASSES), dtype=np.int64)
    pairs = np.zeros((2**d, CLASSES, CLASSES), dtype=np.int64)
    for subset in itertools.combinations(range(d), k):
        table = rng.choice(len(RANKINGS), size=2**k, p=favour)
        seen = table[images[:, subset] @ (1 << np.arange(k))]
        first[np.arange(2**d), RANKINGS[seen, 0]] += 1
        pairs += ABOVE[seen]
    return sc.Tally(first, pairs)


def assert_no_change_within(radius: NDArray[np.int64], label: NDArray[np.int64]) -> None:
    """No image within the radius of another, of all binary images, has another class."""
    near = distances(len(label).bit_length() - 1) <= radius[:, None]
    assert (label[:, None] == label[None, :])[near].all()


def is_rare(errors: int, trials: int, alpha: float) -> bool:
    """Whether so many errors are no evidence, at four standard deviations, of more than alpha."""
    return errors <= alpha * trials + 4 * math.sqrt(trials * alpha * (1 - alpha))
