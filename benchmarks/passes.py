"""Where the time of a certification goes: ballots per second, and the share outside the network.

    python benchmarks/passes.py

Prints ratios measured side by side in one process; seconds depend on the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

import sparsecert as sc
from sparsecert.models import build
from sparsecert.records import hardware

BALLOTS = 2_000
ROUNDS = 7


def median_seconds(*actions: Callable[[], object]) -> list[float]:
    """Median time of each action, taken in turn after one warm-up each."""
    times: list[list[float]] = [[] for _ in actions]
    for round_number in range(ROUNDS + 1):
        for action, taken in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            if round_number:
                taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    """Compare a tally with the bare forward passes it contains."""
    print(f"{hardware()}, {torch.get_num_threads()} threads, median of {ROUNDS} rounds")
    x = torch.rand(1, 1, 28, 28)
    for architecture in ("paper-cnn", "interpolating-cnn"):
        base = build(architecture, (2, 28, 28), 10).eval()
        smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(784, 45), 10)
        passes = torch.rand(2, BALLOTS // 2, 2, 28, 28)

        def forward(base: torch.nn.Module = base, passes: torch.Tensor = passes) -> None:
            with torch.inference_mode():
                for batch in passes:
                    base(batch)

        def tally(smoothed: sc.SmoothedClassifier = smoothed) -> None:
            smoothed.tally(x, BALLOTS, sc.Stage.ESTIMATION)

        whole, network = median_seconds(tally, forward)
        print(
            f"{architecture}: {BALLOTS / whole:.0f} ballots per second, "
            f"{1 - network / whole:.1%} of the time outside the network"
        )


if __name__ == "__main__":
    main()
