"""What benchmarks share: actions timed in turn, ratios of them, and a record of the result."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

import sparsecert as sc
from sparsecert.records.record import hardware, write_record

Name = TypeVar("Name")
# What seconds are measured in: those that pass, and those that this process's threads computed for.
# A machine that does other work too makes the first longer, but hardly the second.
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Spread:
    """The median of a few rounds, and the lowest and highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of these values."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Times:
    """Seconds of each round, by clock."""

    wall: list[float]
    cpu: list[float]

    def over(self, other: Times, clock: str = "wall") -> Spread:
        """How many times as long as another action this one took, round by round."""
        pairs = zip(getattr(self, clock), getattr(other, clock), strict=True)
        return Spread.of([mine / theirs for mine, theirs in pairs])


def in_turn(actions: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, Times]:
    """Time actions one after the other, round after round, after one warm-up each.

    What disturbs the machine for a while then disturbs all of them.
    """
    times = {name: Times([], []) for name in actions}
    for round_number in range(rounds + 1):
        for name, action in actions.items():
            before = {clock: read() for clock, read in CLOCKS.items()}
            action()
            if round_number:
                for clock, read in CLOCKS.items():
                    getattr(times[name], clock).append(read() - before[clock])
    return times


def arguments(description: str, *, plot: bool = False) -> argparse.Namespace:
    """The options of a benchmark."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--results", type=Path, help="folder to write the record to")
    parser.add_argument("--rounds", type=int, default=5)
    if plot:
        parser.add_argument("--plot", type=Path, help="SVG file to draw the figure to")
    return parser.parse_args()


def conditions(rounds: int) -> dict[str, Any]:
    """What a number of this process was measured on and with."""
    return {
        "rounds": rounds,
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "command": shlex.join(["python", *sys.argv]),
        "versions": {
            "sparsecert": sc.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def finish(name: str, record: Mapping[str, Any], results: Path | None) -> None:
    """Print a benchmark's record, and write it as `benchmark-NAME.json` where asked."""
    values: dict[str, Any] = json.loads(json.dumps(record, default=_plain))
    width = max(map(len, values))
    for key, value in values.items():
        print(f"{key:{width}}  {value}")
    if results is not None:
        write_record(results / f"benchmark-{name}.json", values)


def _plain(value: object) -> object:
    if isinstance(value, Spread):
        return [round(number, 4) for number in (value.median, value.low, value.high)]
    raise TypeError(f"no JSON for {value!r}")
