"""Uniformly random subsets from random words: the sampler behind every certificate of ablation.

Definition. A sample has words w_0, w_1, ... of 32 bits: the 64-bit words of its part 0, the lower
half of each first, then those of part 1, and so on (`streams.samples`). Word w draws the feature
floor(w d / 2^32), or none if (w d) mod 2^32 < 2^32 mod d. The first m different features that are
drawn are the retained set if m = k, its complement if m = d - k; m is the smaller of the two.

Every k-subset is equally likely, if words are independent and uniform on 0 .. 2^32 - 1.
Proof. (1) A draw is uniform, given that there is one (Lemire 2019). Feature v is drawn by the words
with v 2^32 + t <= w d < (v + 1) 2^32, where t = 2^32 mod d: multiples of d in an interval of
2^32 - t numbers. Since d divides that length, the interval holds exactly (2^32 - t) / d multiples
of d, as many for every v. (2) So the sequence of draws, v_1, v_2, ..., is independent and uniform,
and for every permutation s of the features s(v_1), s(v_2), ... has the same distribution. The first
m different features of the latter are s of those of the former, so their set has a distribution
that no permutation changes: all m-sets are equally likely, and so are their complements. With
probability 1 there are m of them.  QED

There are no ties, and nothing is rounded. A set depends on its own words alone, so on nothing that
was drawn before or beside it. On average d (1/d + 1/(d-1) + ... + 1/(d-m+1)) draws are needed: 46.3
for d = 784 and k = 45, and never more than 1.39 m.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.streams.samples import Samples

HALVES_PER_BLOCK = 8  # words of 32 bits
_MOST_FEATURES = 2**31 - 1


def num_drawn(d: int, k: int) -> int:
    """Features of a sample that are drawn, m: those that are retained, or those that are not."""
    return min(k, d - k)


def num_blocks(d: int, k: int) -> int:
    """Blocks in each part of a sample: so many that one part is almost always enough.

    On average at most r = m^2 / (2 (d - m)) draws repeat a feature, give or take sqrt(r). Computed
    from integers alone, as it decides which words a sample has.
    """
    m = num_drawn(d, k)
    repeated = -(-(m * m) // (2 * (d - m)))
    return -(-(m + repeated + 6 * math.isqrt(repeated) + 8) // HALVES_PER_BLOCK)


def check_drawable(d: int) -> None:
    """Raise `InputError` for more features than a mask could hold."""
    if d > _MOST_FEATURES:
        raise InputError(f"expected at most {_MOST_FEATURES} features to draw from, got {d}")


def draw_subsets(samples: Samples, d: int, k: int) -> Bool[np.ndarray, "samples features"]:
    """Retained sets as masks: entry (s, i) says whether sample s retains feature i.

    All samples take the words that they surely need at once, which are as many as features are
    missing; then those that drew a feature twice take as many more as they miss, and so on. So no
    word is taken after the last that counts.
    """
    check_drawable(d)
    size, m = len(samples), num_drawn(d, k)
    # The last entry stands for "no feature"; it is a member, so that drawing it adds nothing.
    member = np.zeros(size * d + 1, dtype=np.bool_)
    mask = member[:-1].reshape(size, d)
    if m:
        member[-1] = True
        _draw(samples, d, k, member, mask)
    return mask if m == k else ~mask


def _draw(
    samples: Samples, d: int, k: int, member: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> None:
    m, blocks, part = num_drawn(d, k), num_blocks(d, k), 0
    words, start = _halves(samples.words(blocks)), np.arange(len(samples), dtype=np.int64) * d
    member[_places(words[:, :m], start[:, None], d)] = True
    found = np.bitwise_count(np.packbits(mask, axis=1)).sum(axis=1, dtype=np.int64)
    missing, used = m - found, np.full(len(samples), m)
    rows = np.flatnonzero(missing)
    while len(rows):
        more = missing[rows]
        if (used[rows] + more).max() > words.shape[1]:
            part += 1
            words = np.concatenate((words, _halves(samples.words(blocks, part))), axis=1)
        row, ends = np.repeat(rows, more), np.cumsum(more)
        column = np.arange(len(row)) + np.repeat(used[rows] + more - ends, more)
        places = _places(words[row, column], start[row], d)
        new = np.sort(places[~member[places]])
        new = new[np.append(True, new[1:] != new[:-1])[: len(new)]]
        member[new] = True
        used[rows] += more
        missing -= np.bincount(new // d, minlength=len(samples))
        rows = rows[missing[rows] > 0]


def _halves(words: NDArray[np.uint64]) -> NDArray[Any]:
    """Words of 32 bits, lower halves first on any machine."""
    return words.astype("<u8", copy=False).view("<u4")


def _places(words: NDArray[Any], start: NDArray[np.int64], d: int) -> Int64[np.ndarray, "..."]:
    """Where in the table of members the drawn features are; -1 where a word draws none.

    Args:
        words: of 32 bits.
        start: of the row of each word in the table.
        d: features.
    """
    product = words * np.uint64(d)
    places: NDArray[np.int64] = (product >> np.uint64(32)).view(np.int64) + start
    threshold = 2**32 % d
    if threshold:
        no_draw = product.astype(np.uint32) < threshold
        if no_draw.any():
            places[no_draw] = -1
    return places
