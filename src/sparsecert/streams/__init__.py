"""Random streams: one per (seed, stage, index), so that results do not depend on the schedule.

Whatever is random has a stream of its own, named by the seed, what it is for, and an index: that of
an image in its data set, or of a training step. Neither the batch size, the order of the images nor
their split over machines can change it. The ablations of an image have names of this kind too, and
in `streams.samples` words by the number of each. Those that select a class and those that estimate
its share have different names and are therefore independent.

Streams that are used again and again, on inputs that may depend on what was counted before, can be
attacked (`docs/guarantee.md`): a service takes a `fresh_seed` for every answer.
"""

from __future__ import annotations

import enum
import hashlib
import secrets

import numpy as np

from sparsecert.errors import InputError, as_integer


class Stage(enum.IntEnum):
    """What a stream is for. The numbers are part of the stream's name: never reuse one."""

    SELECTION = 1
    ESTIMATION = 2
    PREDICTION = 3
    TRAINING_ORDER = 4
    TRAINING_MASKS = 5
    TRAINING_AUGMENTATION = 6
    TRAINING_MODEL = 7
    EVALUATION = 8
    ILLUSTRATION = 9
    CHOICE_OF_INPUTS = 10
    RETAINED_SETS = 11
    SHORTLIST = 12
    ATTACK_SEARCH = 21
    ATTACK_CONFIRMATION = 22
    ATTACK_MOVES = 23
    ATTACK_GRADIENT = 24
    BASELINE_TRAINING = 25
    PROBE = 26


def fresh_seed() -> int:
    """128 bits from the operating system, which nobody can know beforehand."""
    return secrets.randbits(128)


def stream(seed: int, stage: Stage, index: int) -> np.random.Generator:
    """The generator named (seed, stage, index); the same name gives the same numbers.

    Raises:
        InputError: for a seed or index that is negative or no integer.
    """
    seed, index = checked_name(seed, index)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(_words(seed, stage, index))))


def checked_name(seed: int, index: int) -> tuple[int, int]:
    """The seed and index as integers; raises `InputError` for what is none, or negative."""
    seed, index = as_integer(seed, "the seed"), as_integer(index, "the index")
    if seed < 0 or index < 0:
        raise InputError(f"expected a seed and an index of at least 0, got {seed} and {index}")
    return seed, index


def _words(seed: int, stage: Stage, index: int) -> list[int]:
    """The name in words of 32 bits, which no other name has, even with zeros after them.

    (`SeedSequence` cuts wider numbers up and puts zeros after short lists, which would give
    (2**33, 1, 0) and (0, 2, 1) the same numbers.)

    Proof. A name of numbers below 2**32 is three words, and zeros. Any other ends in a ninth word
    of 1, behind eight of SHA-256, for which no two inputs of the same hash are known.  QED
    """
    if max(seed, index) < 2**32:
        return [seed, int(stage), index]
    digest = hashlib.sha256(f"{seed} {int(stage)} {index}".encode()).digest()
    return [*np.frombuffer(digest, dtype="<u4").tolist(), 1]
