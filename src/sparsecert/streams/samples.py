"""Random words for samples, each named (seed, stage, index, number), whatever was drawn before.

The words of a sample are a function of its name: Philox4x64-10 (Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", 2011) of a key and a counter that the name gives. So any sample can be
drawn without those before it, in any company, and gets the same words on every machine. On a CPU
NumPy's own Philox computes them; `smoothing/drawing.py` has the same function for accelerators.

The counter has 256 bits. Its lower half is a place: part p, block b of sample n, of B blocks each,
is p 2^64 + n B + b. The key (128 bits) and the upper half are SHA-256 of (seed, stage, index),
however wide these are.

No word serves twice. Within a name, n B + b is below 2^64 and no two (p, n, b) of the same B have
the same place; a name is drawn from by one design, so with one B. Two names with the same key and
upper half have the same SHA-256, and no two such inputs are known. Not even a shared key would
matter (a chance of 2^-128 for a pair), as the upper halves keep the counters apart. That words of
different places look independent is what Philox is for, and what tests of randomness support; like
that of every such generator it is not proven.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64

from sparsecert.errors import InputError, as_integer, check_num_samples
from sparsecert.streams import Stage, checked_name

# Of what a name draws: raise it when a design comes to draw something else for one. Votes are
# stored with it. Version 1 went through a stream of NumPy's sample after sample.
SAMPLER_VERSION = 2

WORDS_PER_BLOCK = 4  # of 64 bits


@dataclass(frozen=True)
class SampleStream:
    """The samples named (seed, stage, index); get it from `sample_stream`.

    Attributes:
        key: of Philox, 128 bits.
        upper: half of its counter, 128 bits.
    """

    key: int
    upper: int

    def words(
        self, first: int, number: int, blocks: int, part: int = 0
    ) -> UInt64[np.ndarray, "samples words"]:
        """`(number, 4 * blocks)` words of a part of the samples first, first + 1, ..."""
        place = self.upper << 128 | part << 64 | first * blocks
        # NumPy adds 1 to the counter before each block.
        philox = np.random.Philox(key=self.key, counter=(place - 1) % 2**256)
        words = philox.random_raw(number * blocks * WORDS_PER_BLOCK)
        return np.asarray(words).reshape(number, blocks * WORDS_PER_BLOCK)


@dataclass(frozen=True)
class Samples:
    """Samples to be drawn: runs of them, one after the other.

    Attributes:
        runs: stream, number of the first sample, and how many, of each run.
    """

    runs: tuple[tuple[SampleStream, int, int], ...]

    def __len__(self) -> int:
        return sum(number for _, _, number in self.runs)

    def words(self, blocks: int, part: int = 0) -> UInt64[np.ndarray, "samples words"]:
        """`(samples, 4 * blocks)` words of a part of each; see `SampleStream.words`."""
        drawn = [stream.words(first, number, blocks, part) for stream, first, number in self.runs]
        return drawn[0] if len(drawn) == 1 else np.concatenate(drawn)


def sample_stream(seed: int, stage: Stage, index: int) -> SampleStream:
    """The samples of a name.

    Raises:
        InputError: for a seed or index that is negative or no integer.
    """
    seed, index = checked_name(seed, index)
    digest = hashlib.sha256(f"{seed} {int(stage)} {index}".encode()).digest()
    key, upper = (int.from_bytes(half, "little") for half in (digest[:16], digest[16:]))
    return SampleStream(key, upper)


def samples(seed: int, stage: Stage, index: int, number: int, first: int = 0) -> Samples:
    """`number` samples of a name, from number `first` on; what to give to a design's `draw`.

    Raises:
        InputError: for a seed, index or `first` that is negative, less than one sample, or what is
            no integer.
    """
    check_num_samples(number)
    if as_integer(first, "first") < 0:
        raise InputError(f"expected first to be at least 0, got {first}")
    return Samples(((sample_stream(seed, stage, index), first, number),))
