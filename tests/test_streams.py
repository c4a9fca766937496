"""Streams are told apart by their whole name."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sparsecert.errors import InputError
from sparsecert.streams import Stage, stream


def test_no_two_names_have_the_same_stream() -> None:
    """`SeedSequence` alone gives (2**33, 1, 0) and (0, 2, 1) the same numbers."""
    numbers = (0, 1, 2, 2**32 - 1, 2**32, 2**33, 2**64, 2**128)
    names = list(itertools.product(numbers, (Stage.SELECTION, Stage.ESTIMATION), numbers))
    first = {tuple(stream(*name).integers(2**62, size=2).tolist()) for name in names}
    assert len(first) == len(names)


@pytest.mark.parametrize("name", [(0, 1, 0), (0, 2, 59_999), (2**32 - 1, 22, 2**32 - 1)])
def test_streams_are_those_of_stored_votes(name: tuple[int, int, int]) -> None:
    """Votes on disk were drawn from them."""
    before = np.random.Generator(np.random.Philox(np.random.SeedSequence(name)))
    drawn = stream(name[0], Stage(name[1]), name[2])
    assert drawn.integers(2**63, size=2).tolist() == before.integers(2**63, size=2).tolist()


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_negative_seeds_and_indices_are_refused(seed: int, index: int) -> None:
    with pytest.raises(InputError, match="of at least 0"):
        stream(seed, Stage.SELECTION, index)
