"""A smoothed classifier that knows how long its network took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from timing import Spread
from torch import Tensor

import sparsecert as sc
from sparsecert.smoothing.voter import Worker


class TimedClassifier(sc.SmoothedClassifier):
    """Times each certification, and the forward passes in it, in seconds that threads computed.

    Each worker is one thread, so its own clock says what it did, whatever else the machine did. A
    single worker may use all threads, and has the process to itself.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lock = threading.Lock()
        self._inside = 0.0
        self._shares: list[float] = []

    def certify(self, *args: Any, **options: Any) -> sc.Certification:
        """Certify, and note the share."""
        self._inside, started = 0.0, time.process_time()
        result = super().certify(*args, **options)
        total = time.process_time() - started
        self._shares.append(total / self._inside - 1)
        return result

    def overhead(self, rounds: int) -> Spread:
        """Time outside the network over that inside it, in the latest rounds."""
        return Spread.of(self._shares[-rounds:])

    def workers(self, x: Tensor, ballots: int) -> list[Worker]:
        """The workers, with a clock around the network of each."""
        workers = super().workers(x, ballots)
        clock = time.thread_time if len(workers) > 1 else time.process_time
        return [
            Worker(worker.device, partial(self._timed, clock, worker.forward)) for worker in workers
        ]

    def _timed(
        self, clock: Callable[[], float], forward: Callable[[Tensor], object], encoded: Tensor
    ) -> object:
        started = clock()
        logits = forward(encoded)
        taken = clock() - started
        with self._lock:
            self._inside += taken
        return logits
