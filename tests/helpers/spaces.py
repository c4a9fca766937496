"""Spaces of binary images small enough to list, and what is rare enough to be chance."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray


def binary_images(d: int) -> NDArray[np.int64]:
    """`(2^d, d)` every image of d binary features."""
    return np.array(list(itertools.product((0, 1), repeat=d)))


def distances(d: int) -> NDArray[np.int64]:
    """`(2^d, 2^d)` the number of features in which two of them differ."""
    bits = np.arange(2**d)
    return np.bitwise_count(bits[:, None] ^ bits[None, :]).astype(np.int64)


def is_rare(errors: int, trials: int, alpha: float) -> bool:
    """Whether so many errors are no evidence, at four standard deviations, of more than alpha."""
    return errors <= alpha * trials + 4 * math.sqrt(trials * alpha * (1 - alpha))
