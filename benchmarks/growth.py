"""How time and memory grow with n, images, d, k and the size of a pass.

    python benchmarks/growth.py [--results results] [--plot docs/speed.svg]

The exponents with which time grows in n and images are least-squares slopes on a log-log scale: 1
is linear. Memory is the peak of a fresh process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from timing import Spread, arguments, conditions, finish, in_turn

import sparsecert as sc
from sparsecert.models.architectures import build
from sparsecert.smoothing.encoding import TwoChannelEncoding

NUM_SAMPLES = (1_000, 2_000, 4_000, 8_000, 16_000)
NUM_IMAGES = (1, 2, 4, 8, 16)
SAMPLES_PER_IMAGE = 1_000
SIDES, FIXED_K = (28, 56, 112, 224), 45
RETAINED, FIXED_SIDE = (100, 300, 1_000, 3_000, 10_000), 224
BALLOTS_PER_PASS = (32, 64, 128, 256, 512)
MEMORY_SAMPLES = (1_000, 10_000, 100_000)
DRAWN = 256  # ablations that are drawn and encoded at once, without a network
MEMORY_SCRIPT = """
import resource, sys, torch, sparsecert as sc
from sparsecert.models.architectures import build
base = build("paper-cnn", (2, 28, 28), 10).eval()
classifier = sc.SmoothedClassifier(base, sc.UniformAblation(784, 45), 10, precision="bfloat16")
classifier.tally(torch.rand(1, 1, 28, 28), int(sys.argv[1]), sc.Stage.ESTIMATION)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Measure, report and draw."""
    options = arguments(__doc__ or "", plot=True)
    record = {"benchmark": "growth"} | conditions(options.rounds)
    medians = {}
    series: tuple[tuple[str, dict[int, Callable[[], object]]], ...] = (
        ("num_samples", {n: _tally(1, n) for n in NUM_SAMPLES}),
        ("num_images", {images: _tally(images, SAMPLES_PER_IMAGE) for images in NUM_IMAGES}),
        ("ballots_per_pass", {size: _tally(1, 4_000, size) for size in BALLOTS_PER_PASS}),
        ("num_features", {side**2: _draw_and_encode(side, FIXED_K) for side in SIDES}),
        ("num_retained", {k: _draw_and_encode(FIXED_SIDE, k) for k in RETAINED}),
    )
    for name, actions in series:
        spreads = {
            size: Spread.of(times.wall) for size, times in in_turn(actions, options.rounds).items()
        }
        medians[name] = {size: spread.median for size, spread in spreads.items()}
        record[f"seconds_by_{name}"] = spreads
    for name in ("num_samples", "num_images"):
        record[f"exponent_of_{name}"] = round(_exponent(medians[name]), 3)
    memory = {n: _peak_mib(n) for n in MEMORY_SAMPLES}
    record["peak_mib_by_num_samples"] = memory
    finish("growth", record, options.results)
    if options.plot is not None:
        _plot(medians, memory, options.plot)


def _tally(
    images: int, num_samples: int, ballots_per_pass: int | None = None
) -> Callable[[], object]:
    """Votes of the network of the recipe `fast` for MNIST."""
    base = build("interpolating-cnn", (2, 28, 28), 10).eval()
    classifier = sc.SmoothedClassifier(
        base,
        sc.UniformAblation(784, 45),
        10,
        ballots_per_pass=ballots_per_pass,
        precision="bfloat16",
    )
    return partial(
        classifier.tally, torch.rand(images, 1, 28, 28), num_samples, sc.Stage.ESTIMATION
    )


def _draw_and_encode(side: int, k: int) -> Callable[[], object]:
    """What ablations of grey images cost without a network."""
    ablation, encoding = sc.UniformAblation(side**2, k), TwoChannelEncoding()
    drawn, x = sc.samples(0, sc.Stage.ESTIMATION, 0, DRAWN), torch.rand(1, 1, side, side)

    def action() -> None:
        with torch.inference_mode():
            encoding(x, torch.from_numpy(ablation.draw(drawn)))

    return action


def _exponent(seconds: Mapping[int, float]) -> float:
    """The slope of log time against log size."""
    slope, _ = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)
    return float(slope)


def _peak_mib(num_samples: int) -> int:
    """Peak memory of a process that counts so many votes on one image."""
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(num_samples)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) // 1024


def _plot(
    medians: Mapping[str, Mapping[int, float]], memory: Mapping[int, float], path: Path
) -> None:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots(2, 3).flat
    for axis, (series, label, what) in zip(
        axes,
        (
            (medians["num_samples"], "ablations per image, n", "seconds"),
            (medians["num_images"], "images", "seconds"),
            (memory, "ablations per image, n", "peak memory, MiB"),
            (medians["num_features"], f"features, d (k = {FIXED_K})", "ms without network"),
            (medians["num_retained"], f"retained, k (d = {FIXED_SIDE**2})", "ms without network"),
            (medians["ballots_per_pass"], "ballots per pass", "seconds for 4 000"),
        ),
        strict=True,
    ):
        scale = 1e3 / DRAWN if what.startswith("ms") else 1
        values = np.array(list(series.values())) * scale
        axis.plot(list(series), values, marker=".")
        axis.set(xlabel=label, ylabel=what, ylim=(0, 1.15 * values.max()))
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
