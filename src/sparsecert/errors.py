"""What goes wrong at the border, each with a sentence that says what to do."""

from __future__ import annotations

import operator
import warnings
from typing import SupportsIndex

# What bounds are made for. Rules divide alpha by looks and rivals, so levels may be lower.
LEAST_ALPHA, LEAST_LEVEL = 1e-100, 1e-200
MOST_SAMPLES = 2**31 - 1  # and what stored counts have room for


class InputError(ValueError):
    """A value from outside that sparsecert cannot work with."""


class RunFolderError(RuntimeError):
    """A run folder, or a file in it, that is missing, foreign, damaged or not writable."""


class TooFewSamplesWarning(UserWarning):
    """So few samples that even a unanimous vote certifies nothing."""


class TooFewSetsWarning(UserWarning):
    """So few retained sets that even a unanimous vote certifies no radius above 0."""


class LargeAlphaWarning(UserWarning):
    """So large an error probability that a certificate is more likely wrong than right."""


class SlowPrecisionWarning(UserWarning):
    """A network that votes in a number format which this device can only imitate."""


def check_alpha(alpha: float, above: float = LEAST_ALPHA) -> None:
    """Raise `InputError` unless ``above < alpha < 1``."""
    try:
        in_range = bool(above < alpha < 1)
    except (TypeError, ValueError):  # it is no number
        in_range = False
    if not in_range:
        raise InputError(
            f"expected alpha, the error probability, above {above:g} and below 1, got {alpha!r}; "
            "0.05 gives 95 % confidence"
        )


def warn_if_large(alpha: float) -> None:
    """Warn of an alpha above one half."""
    if alpha > 0.5:
        warnings.warn(
            f"alpha = {alpha} allows each answer to be wrong with that probability; 0.05 is usual",
            LargeAlphaWarning,
            stacklevel=3,
        )


def check_num_samples(num_samples: int, name: str = "num_samples") -> None:
    """Raise `InputError` unless it is an integer of at least 1 and below 2**31."""
    if not 1 <= as_integer(num_samples, name) <= MOST_SAMPLES:
        bound = "at least 1" if num_samples < 1 else f"at most {MOST_SAMPLES}"
        raise InputError(f"expected {name} to be {bound}, got {num_samples}")


def as_integer(value: SupportsIndex, name: str) -> int:
    """The value as a Python integer; raises `InputError` for anything else, 1000.0 included."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"expected {name} to be an integer, got {value!r}") from None
