"""Words by the name of a sample: any sample alone, in any company, and no word twice."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sparsecert.errors import InputError
from sparsecert.streams import Stage
from sparsecert.streams.samples import Samples, sample_stream, samples

NUMBERS = (0, 1, 2, 2**32 - 1, 2**32, 2**33, 2**64, 2**127, 2**128)


def test_no_two_names_have_the_same_key_and_counters() -> None:
    names = list(itertools.product(NUMBERS, (Stage.SELECTION, Stage.ESTIMATION), NUMBERS))
    streams = [sample_stream(*name) for name in names]
    assert len({stream.key for stream in streams}) == len(names)
    assert len({stream.upper for stream in streams}) == len(names)
    first = {stream.words(0, 1, 1).tobytes() for stream in streams}
    assert len(first) == len(names)


def test_every_sample_and_part_has_words_of_its_own() -> None:
    stream, words = sample_stream(2**128 - 1, Stage.ESTIMATION, 5), set[int]()
    for part in range(3):
        words.update(stream.words(0, 50, 3, part).ravel().tolist())
    words.update(stream.words(2**31 - 50, 50, 3).ravel().tolist())
    assert len(words) == 4 * 50 * 3 * 4


def test_a_sample_is_the_same_alone_and_in_company() -> None:
    one, other = sample_stream(3, Stage.SELECTION, 0), sample_stream(3, Stage.SELECTION, 1)
    together = Samples(((one, 7, 5), (other, 0, 2), (one, 40, 1)))
    assert len(together) == 8
    for part in (0, 1):
        words = together.words(2, part)
        for row, (stream, number) in enumerate(
            [*((one, 7 + i) for i in range(5)), (other, 0), (other, 1), (one, 40)]
        ):
            np.testing.assert_array_equal(words[row], stream.words(number, 1, 2, part)[0])


def test_the_first_block_has_counter_zero_where_the_name_says_so() -> None:
    """NumPy adds 1 before each block; that must not come from the block before the first."""
    stream = type(sample_stream(0, Stage.SELECTION, 0))(key=0, upper=0)
    # Philox4x64-10 of counter 0 and key 0, from the test vectors of Random123.
    expected = "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"
    assert [f"{word:016x}" for word in stream.words(0, 1, 1)[0]] == expected.split()


def test_words_are_what_they_have_always_been() -> None:
    """Votes on disk were drawn from them."""
    words = samples(5, Stage.PREDICTION, 3, 2, first=1).words(1)
    expected = "1ec8e1b02293c9ca 6b3b992fc21d8122 bf90bbaa4a6ff2a4 3b1fbb05ed8b0a01"
    assert [f"{word:016x}" for word in words[0]] == expected.split()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((-1, 0, 1), "seed and an index of at least 0, got -1 and 0"),
        ((0, -1, 1), "seed and an index of at least 0, got 0 and -1"),
        ((0.5, 0, 1), "the seed to be an integer"),
        ((0, 0, 0), "num_samples to be at least 1, got 0"),
        ((0, 0, 1, -1), "first to be at least 0, got -1"),
        ((0, 0, 1, 0.5), "first to be an integer"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_names_that_are_none_get_a_sentence(arguments: tuple[Any, ...], sentence: str) -> None:
    seed, *rest = arguments
    with pytest.raises(InputError, match=sentence):
        samples(seed, Stage.SELECTION, *rest)
