"""Schedules: the numbers of ballots at which counts are looked at, fixed by the budget alone.

A fixed number of samples is a schedule with one look, the budget. Looks depend on neither alpha nor
the rule, so counts that were taken for one serve any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from sparsecert.errors import InputError, check_num_samples

Sampling = Literal["fixed", "sequential"]

# The paper's: ablations that choose the class (n0), that estimate its share (n), and alpha.
NUM_SELECTION, NUM_SAMPLES, ALPHA = 1_000, 10_000, 0.05

FIRST_LOOK = 100
_GROWTH = 1.2


def one_look(num_samples: int) -> tuple[int, ...]:
    """The budget is the only look."""
    return (num_samples,)


def growing_looks(num_samples: int) -> tuple[int, ...]:
    """Each look is about a fifth more than the one before, and the first at least `FIRST_LOOK`.

    A budget below 120 has one look, the budget.
    """
    steps = max(0, int(np.log(max(num_samples / FIRST_LOOK, 1)) / np.log(_GROWTH) + 1e-9))
    looks = np.ceil(num_samples * _GROWTH ** -np.arange(steps, -1, -1.0) - 1e-9)
    return tuple(map(int, looks))


SCHEDULES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "fixed": one_look,
    "sequential": growing_looks,
}


def look_schedule(sampling: str, num_samples: int) -> tuple[int, ...]:
    """The looks of a way of sampling, rising, the budget last.

    Args:
        sampling: a key of `SCHEDULES`.
        num_samples: n, the budget.

    Raises:
        InputError: for an unknown way of sampling, or a budget that is no integer of at least 1.
    """
    check_num_samples(num_samples)
    if sampling not in SCHEDULES:
        raise InputError(f"expected sampling to be one of {', '.join(SCHEDULES)}, got {sampling!r}")
    return SCHEDULES[sampling](int(num_samples))
