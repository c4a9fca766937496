"""The sampler against its definition, word by word."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sparsecert.designs import subsets
from sparsecert.designs.subsets import draw_subsets, num_blocks, num_drawn
from sparsecert.errors import InputError
from sparsecert.streams import Stage
from sparsecert.streams.samples import Samples, sample_stream, samples


def by_definition(source: Samples, d: int, k: int) -> NDArray[np.bool_]:
    """Word after word, with Python's integers."""
    m, mask = num_drawn(d, k), np.zeros((len(source), d), dtype=np.bool_)
    for row in range(len(source)):
        drawn: set[int] = set()
        for part in itertools.count():
            for word in source.words(num_blocks(d, k), part)[row].tolist():
                for half in (word % 2**32, word >> 32):
                    if len(drawn) < m and half * d % 2**32 >= 2**32 % d:
                        drawn.add(half * d >> 32)
            if len(drawn) == m:
                break
        mask[row, list(drawn)] = True
    return mask if m == k else ~mask


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_sets_are_those_of_the_definition(d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, d))
    source = samples(data.draw(st.integers(0, 2**128)), Stage.ESTIMATION, 3, 7, first=2)
    np.testing.assert_array_equal(draw_subsets(source, d, k), by_definition(source, d, k))


@pytest.mark.parametrize(("d", "k"), [(784, 45), (784, 700), (1_024, 512), (50_176, 1_000)])
def test_large_sets_are_those_of_the_definition(d: int, k: int) -> None:
    source = samples(0, Stage.ESTIMATION, 3, 5)
    np.testing.assert_array_equal(draw_subsets(source, d, k), by_definition(source, d, k))


def test_a_sample_that_its_first_words_do_not_fill_takes_those_of_the_next_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Words that draw nothing, or one feature again and again, are passed over."""
    d, k, rng = 784, 45, np.random.default_rng(0)
    shape = 6, 4 * num_blocks(d, k)
    first, later = rng.integers(0, 2**64, size=(2, *shape), dtype=np.uint64)
    first[0] = 0  # draws nothing, since 2^32 mod 784 is 464
    first[1] = 2**64 - 1  # the last feature
    first[2, :10] = first[2, 10]
    first[3, ::2] = 0
    first[4] &= np.uint64(2**32 - 1)
    monkeypatch.setattr(Samples, "words", lambda self, blocks, part=0: later if part else first)
    source = samples(0, Stage.ESTIMATION, 0, 6)
    masks = draw_subsets(source, d, k)
    assert (masks.sum(axis=1) == k).all()
    np.testing.assert_array_equal(masks, by_definition(source, d, k))


def test_several_parts_are_taken_where_one_is_far_too_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Samples(((sample_stream(0, Stage.ESTIMATION, 0), 0, 50),))
    for module in (subsets, __import__(__name__, fromlist=["num_blocks"])):
        monkeypatch.setattr(module, "num_blocks", lambda d, k: 2)
    for d, k in ((12, 6), (40, 16)):
        np.testing.assert_array_equal(draw_subsets(whole, d, k), by_definition(whole, d, k))


@pytest.mark.parametrize("d", [1, 2, 3, 5, 784, 1_000, 50_176, 2**20 + 7, 2**31 - 1])
def test_every_feature_is_drawn_by_equally_many_words(d: int) -> None:
    """Counted by the ends of the interval of words that draw it."""
    bound, threshold = 2**32, 2**32 % d
    features = range(d) if d < 10**4 else (0, 1, d // 2, d - 2, d - 1)
    for v in features:
        low, high = (-(-(v * bound + threshold) // d), -(-(v + 1) * bound // d))
        assert high - low == (bound - threshold) // d
        words = np.array([low, high - 1], dtype="<u4")
        assert subsets._places(words, np.zeros(2, dtype=np.int64), d).tolist() == [v, v]
        if threshold:
            assert subsets._places(words[:1] - 1, np.zeros(1, dtype=np.int64), d) == [-1] or (
                (low - 1) * d % bound >= threshold
            )


@pytest.mark.parametrize(("d", "k"), [(1, 1), (10, 3), (784, 45)])
def test_a_set_depends_on_neither_those_before_it_nor_those_beside_it(d: int, k: int) -> None:
    name = 7, Stage.ESTIMATION, 3
    whole = draw_subsets(samples(*name, 100), d, k)
    parts = [
        draw_subsets(samples(*name, n, first), d, k) for first, n in ((0, 1), (1, 32), (33, 67))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    stream, other = sample_stream(*name), sample_stream(8, *name[1:])
    mixed = Samples(((other, 5, 2), (stream, 60, 1), (stream, 10, 3)))
    np.testing.assert_array_equal(draw_subsets(mixed, d, k)[2:], whole[[60, 10, 11, 12]])


@pytest.mark.parametrize(
    ("d", "k"), [(5, 2), (16, 5), (64, 32), (784, 45), (1_024, 75), (1_024, 512), (50_176, 1_000)]
)
def test_one_part_is_next_to_always_enough(d: int, k: int) -> None:
    """Draws that repeat a feature: their mean and variance are sums over geometric numbers."""
    again = np.arange(num_drawn(d, k)) / d
    mean, deviation = (again / (1 - again)).sum(), np.sqrt((again / (1 - again) ** 2).sum())
    spare = subsets.HALVES_PER_BLOCK * num_blocks(d, k) - num_drawn(d, k) - mean
    assert 4 * deviation + 5 < spare < 8 * deviation + 24


def test_features_that_no_mask_could_hold_are_refused() -> None:
    with pytest.raises(InputError, match="at most 2147483647 features to draw from"):
        draw_subsets(samples(0, Stage.ESTIMATION, 0, 1), 2**31, 1)
