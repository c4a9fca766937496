"""On one NVIDIA GPU: images certified per second at n = 11 000, and the share of its matrix peak.

    python benchmarks/gpu.py [--results results]

Needs CUDA. The peak is measured, with large square products in bfloat16. The network is that of
the `fast` recipe for MNIST with k = 45, compiled, untrained; torch counts its operations. With two
passes at once one draws its ablations while the other's network runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from timing import Spread, arguments, conditions, finish
from torch.utils.flop_counter import FlopCounterMode

import sparsecert as sc
from sparsecert.models.architectures import build

NUM_SELECTION, NUM_SAMPLES, IMAGES, SIDE = 1_000, 10_000, 16, 8_192


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__ or "")
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs a CUDA device, and torch finds none")
    ballots = IMAGES * (NUM_SELECTION + NUM_SAMPLES)
    record = {"benchmark": "gpu", "num_features": 784, "num_retained": 45}
    record |= conditions(options.rounds) | {"num_ballots": ballots}
    matrix = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    peak = 2 * SIDE**3 / _seconds(lambda: matrix @ matrix, options.rounds).low
    record["peak_teraflops"] = round(peak / 1e12, 1)
    base = build("interpolating-cnn", (2, 28, 28), 10).eval().cuda()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        base(torch.rand(1, 2, 28, 28, device="cuda"))
    x = torch.rand(IMAGES, 1, 28, 28)
    for passes in (1, 2):
        smoothed = sc.SmoothedClassifier(
            base,
            sc.UniformAblation(784, 45),
            10,
            precision="bfloat16",
            compile=True,
            devices=["cuda"] * passes,
        )

        def certify(smoothed: sc.SmoothedClassifier = smoothed) -> None:
            smoothed.certify(x, NUM_SELECTION, NUM_SAMPLES)

        taken = _seconds(certify, options.rounds)
        at_once = f"with_{passes}_at_once"
        record[f"images_per_second_{at_once}"] = round(IMAGES / taken.median, 2)
        share = ballots * counter.get_total_flops() / taken.median / peak
        record[f"share_of_peak_{at_once}"] = round(share, 4)
    finish("gpu", record, options.results)


def _seconds(action: Callable[[], object], rounds: int) -> Spread:
    """Seconds of an action on the GPU, after one warm-up."""
    taken = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        action()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return Spread.of(taken[1:])


if __name__ == "__main__":
    main()
