"""What goes wrong at the border, each with a sentence that says what to do."""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex


class InputError(ValueError):
    """A value from outside that sparsecert cannot work with."""


class RunFolderError(RuntimeError):
    """A run folder, or a file in it, that is missing, foreign, damaged or not writable."""


class TooFewSamplesWarning(UserWarning):
    """So few samples that even a unanimous vote certifies nothing."""


class TooFewSetsWarning(UserWarning):
    """So few retained sets that even a unanimous vote certifies no radius above 0."""


def check_alpha(alpha: float) -> None:
    """Raise `InputError` unless ``0 < alpha < 1``."""
    if not (math.isfinite(alpha) and 0 < alpha < 1):
        raise InputError(
            f"expected alpha, the error probability, between 0 and 1 (both excluded), got {alpha}; "
            "0.05 gives 95 % confidence"
        )


def check_num_samples(num_samples: int, name: str = "num_samples") -> None:
    """Raise `InputError` unless it is an integer of at least 1."""
    if as_integer(num_samples, name) < 1:
        raise InputError(f"expected {name} to be at least 1, got {num_samples}")


def as_integer(value: SupportsIndex, name: str) -> int:
    """The value as a Python integer; raises `InputError` for anything else, 1000.0 included."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"expected {name} to be an integer, got {value!r}") from None
