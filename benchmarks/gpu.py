"""On one NVIDIA GPU: what a ballot costs there, and how much of it is the network's.

    python benchmarks/gpu.py [--results results]

Needs CUDA. Two sizes: MNIST with k = 45 and the network of the recipe `fast`, and images of
ImageNet's size with k = 1 000 and ResNet-50; in bfloat16, compiled, untrained. The time inside the
network is that between CUDA events before and after each forward pass. The matrix peak is measured,
with large square products in bfloat16; torch counts the operations of a ballot.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timing import Spread, arguments, conditions, finish
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import sparsecert as sc
from sparsecert.models.architectures import build
from sparsecert.smoothing.drawing import Drawing
from sparsecert.smoothing.voter import Worker
from sparsecert.streams.samples import sample_stream

DEVICE, PEAK_SIDE = "cuda", 8_192
# Network, shape of the inputs, k, classes, images, ballots per image.
SIZES: dict[str, tuple[str, tuple[int, int, int], int, int, int, int]] = {
    "mnist": ("interpolating-cnn", (1, 28, 28), 45, 10, 16, 11_000),
    "imagenet": ("resnet50", (3, 224, 224), 1_000, 1_000, 2, 4_000),
}


class TimedOnDevice(sc.SmoothedClassifier):
    """Keeps an event before and after each forward pass."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.events: list[tuple[Any, Any]] = []

    def workers(self, x: Tensor, ballots: int) -> list[Worker]:
        """The workers, with events around the network of each."""
        return [
            Worker(worker.device, partial(self._timed, worker.forward))
            for worker in super().workers(x, ballots)
        ]

    def seconds_inside(self) -> float:
        """Of the passes since it was last asked; the host waits for them."""
        torch.cuda.synchronize()
        events, self.events = self.events, []
        milliseconds: float = sum(start.elapsed_time(end) for start, end in events)
        return milliseconds / 1_000

    def _timed(self, forward: Callable[[Tensor], object], encoded: Tensor) -> object:
        start, end = _event(), _event()
        start.record()
        logits = forward(encoded)
        end.record()
        self.events.append((start, end))
        return logits


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__ or "")
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs a CUDA device, and torch finds none")
    record = {"benchmark": "gpu"} | conditions(options.rounds)
    matrix = torch.randn(PEAK_SIDE, PEAK_SIDE, device=DEVICE, dtype=torch.bfloat16)
    peak = 2 * PEAK_SIDE**3 / _seconds(lambda: matrix @ matrix, options.rounds).low
    record["peak_teraflops"] = round(peak / 1e12, 1)
    for name in SIZES:
        measured = _measured(name, options.rounds, peak)
        record |= {f"{name}_{key}": value for key, value in measured.items()}
    finish("gpu", record, options.results)


def _measured(name: str, rounds: int, peak: float) -> dict[str, Any]:
    network, shape, k, classes, images, per_image = SIZES[name]
    channels, height, width = shape
    encoded_shape, d = (2 * channels, height, width), height * width
    base = build(network, encoded_shape, classes).eval().to(DEVICE)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        base(torch.rand(1, *encoded_shape, device=DEVICE))
    ablation, x = sc.UniformAblation(d, k), torch.rand(images, *shape)
    smoothed = TimedOnDevice(
        base, ablation, classes, precision="bfloat16", compile=True, devices=[DEVICE]
    )
    tally = partial(smoothed.tally, x, per_image, sc.Stage.ESTIMATION, 0)
    tally()  # compiles
    torch.cuda.reset_peak_memory_stats()
    waits, passes = _waits(tally), len(smoothed.events)
    smoothed.seconds_inside()
    shares, rates = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        tally()
        inside = smoothed.seconds_inside()
        taken = time.perf_counter() - started
        shares.append(taken / inside - 1)
        rates.append(images * per_image / taken)
    limit = smoothed.pass_size(x)
    streams = [sample_stream(0, sc.Stage.ESTIMATION, index) for index in range(images)]
    drawing = Drawing(ablation, streams, per_image, 0, torch.device(DEVICE))
    some = min(images * per_image, max(limit, 2**26 // d))  # as many as are drawn at once
    return {
        "num_ballots": images * per_image,
        "overhead_share": Spread.of(shares),
        "ballots_per_second": Spread.of(rates),
        "images_per_second_at_11000": round(Spread.of(rates).median / 11_000, 2),
        "share_of_peak": round(Spread.of(rates).median * counter.get_total_flops() / peak, 4),
        "sets_per_second": round(some / _seconds(lambda: drawing(0, some), rounds).median),
        "host_waits": waits,
        "passes": passes,
        "peak_memory_mib": torch.cuda.max_memory_allocated() // 2**20,
    }


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _waits(action: Callable[[], object]) -> int:
    """How often the host waits for the device meanwhile, as torch reports it."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            action()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


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
