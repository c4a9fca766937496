"""Retained sets a second, and ballots a second with a network that does nothing, on one core.

    python benchmarks/sampling.py [--results results]

Beside them stands the sampler of version 1: Floyd's algorithm, in step over the samples of a pass,
on integers that NumPy draws by rejection. Seconds are those that the core computed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from timing import Spread, arguments, conditions, finish, in_turn
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.streams.samples import Samples

# Shape of the inputs, k, classes, ballots of a tally.
SIZES = (
    ((1, 28, 28), 45, 10, 20_000),
    ((3, 32, 32), 75, 10, 20_000),
    ((3, 224, 224), 1_000, 1_000, 200),
)
DRAWN_BYTES = 2**20  # of masks that a tally on a CPU draws at once, if a pass does not need more


class Floyd(sc.UniformAblation):
    """Retained sets as version 1 drew them (Bentley and Floyd 1987)."""

    def draw(self, samples: Samples) -> np.ndarray[Any, Any]:
        """For each j from d - k to d - 1 add t from 0..j, or j where t is already in."""
        generator = np.random.Generator(np.random.Philox(samples.runs[0][1]))
        size, d, k = len(samples), self.num_features, self.num_retained
        last = np.arange(d - k, d, dtype=np.int64)
        retained = generator.integers(0, last, size=(size, k), endpoint=True)
        member = np.zeros(size * d, dtype=np.bool_)
        offset = np.arange(size, dtype=np.int64) * d
        for step, candidate in enumerate(np.ascontiguousarray(retained.T)):
            taken = member[offset + candidate]
            candidate[taken] = d - k + step
            member[offset + candidate] = True
        return member.reshape(size, d)


class Nothing(nn.Module):
    """The same logits for every ballot."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(1, num_classes), requires_grad=False)

    def forward(self, encoded: Tensor) -> Tensor:
        """Zeros."""
        return self.logits.expand(len(encoded), -1)


def main() -> None:
    """Time both samplers in turn at every size, and report."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    record = {"benchmark": "sampling"} | conditions(options.rounds)
    for shape, k, classes, ballots in SIZES:
        d, x = shape[1] * shape[2], torch.rand(1, *shape)
        actions: dict[tuple[str, str], Callable[[], object]] = {}
        numbers: dict[tuple[str, str], int] = {}
        for end, kind in (("", sc.UniformAblation), ("_floyd", Floyd)):
            smoothed = sc.SmoothedClassifier(Nothing(classes), kind(d, k), classes)
            size = smoothed.pass_size(x)
            if kind is not Floyd:
                size *= max(1, DRAWN_BYTES // (size * d))
            draw = partial(kind(d, k).draw, sc.samples(0, sc.Stage.ESTIMATION, 0, size))
            actions["sets", end] = partial(_repeat, draw, ballots // size)
            numbers["sets", end] = size * (ballots // size)
            actions["ballots", end] = partial(smoothed.tally, x, ballots, sc.Stage.ESTIMATION, 0)
            numbers["ballots", end] = ballots
        times = in_turn(actions, options.rounds)
        for (what, end), taken in times.items():
            rates = [numbers[what, end] / seconds for seconds in taken.cpu]
            record[f"{what}_per_second_d{d}{end}"] = Spread.of(rates)
    finish("sampling", record, options.results)


def _repeat(action: Callable[[], object], number: int) -> None:
    for _ in range(number):
        action()


if __name__ == "__main__":
    main()
