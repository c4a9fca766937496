"""Where images are worked on by many processes, on one machine or many: a pool of Ray actors.

Each worker holds the network once and is given images whenever it is free, so that unequal costs
balance. What it finished goes back to this process, which alone writes to the run folder. A worker
that dies loses the images in its hands; they are given to another.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError, RunFolderError
from sparsecert.procedures.execution import Execution, Finished, Task, Worker

_SECONDS_BETWEEN_LOOKS = 5.0  # for machines that have joined the cluster
_SECONDS_OF_PATIENCE = 60.0  # with a cluster that gives no worker at all
_NONE: list[int | None] = [None]  # what a worker has in its hands that is not ready yet
_MOST_DEATHS = 5  # of workers at the same images, or in a row before they were ready


class RayExecution(Execution):
    """By actors on a Ray cluster, as many as it has room for; more as machines join.

    Votes do not depend on who counts them. The run folder and the data set must lie where every
    machine sees them, and sparsecert must be installed there.

    Args:
        address: of the cluster; by default that in `RAY_ADDRESS`, or else one is started on this
            machine, for as long as this process lives.
        cores: of each worker.
        gpus: of each worker; by default one where the cluster has any.
        show_progress: draw a progress bar.
        compile: run base classifiers through `torch.compile`.

    Raises:
        InputError: for numbers under 1, or under 0 of GPUs; or when work begins, if Ray is not
            installed, or there is no such cluster.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cores: int = 1,
        gpus: float | None = None,
        show_progress: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__(show_progress=show_progress)
        if cores < 1 or (gpus is not None and gpus < 0):
            raise InputError(
                f"expected at least 1 core for each worker, and GPUs from 0, got {cores} and {gpus}"
            )
        self._address, self._cores, self._gpus, self._compile = address, cores, gpus, compile
        self._workers: list[Any] = []

    def _each(self, task: Task[Any], images: NDArray[np.int64]) -> Iterator[Finished[Any]]:
        with contextlib.redirect_stdout(sys.stderr):  # where Ray tells of workers that died
            ray = _connected(self._address)
            yield from self._given_out(ray, ray.put(task), images)

    def _given_out(self, ray: Any, task: Any, images: NDArray[np.int64]) -> Iterator[Finished[Any]]:
        """What workers make of a task that has been put on the cluster."""
        waiting, left = deque(images.tolist()), len(images)
        answers: queue.SimpleQueue[tuple[Any, list[int], Future[Any]]] = queue.SimpleQueue()
        groups: dict[Any, int] = {}  # of the workers that are ready: how many images they like
        free: deque[Any] = deque()
        deaths: Counter[int | None] = Counter()
        begun = time.monotonic()
        looked, warned = -math.inf, False

        def ask(worker: Any, answer: Any, given: list[int]) -> None:
            answer.future().add_done_callback(lambda future: answers.put((worker, given, future)))

        for worker in self._workers:
            ask(worker, worker.begin.remote(task), [])
        while left:
            if (now := time.monotonic()) - looked > _SECONDS_BETWEEN_LOOKS:
                looked = now
                for worker in self._hire(ray, left):
                    ask(worker, worker.begin.remote(task), [])
                if not (groups or warned) and now - begun > _SECONDS_OF_PATIENCE:
                    warnings.warn(_patience(ray), stacklevel=2)
                    warned = True
            while free and waiting:
                worker = free.popleft()
                # Towards the end in smaller portions, half of an equal share of what is left, so
                # that the others do not wait long for a worker with several hard images.
                size = min(groups[worker], math.ceil(len(waiting) / (2 * len(groups))))
                given = [waiting.popleft() for _ in range(size)]
                ask(worker, worker.do.remote(np.asarray(given)), given)
            try:
                worker, given, answer = answers.get(timeout=_SECONDS_BETWEEN_LOOKS)
                result = answer.result()
            except queue.Empty:
                continue
            except ray.exceptions.RayTaskError as error:
                raise _as_sentence(error) from error
            except ray.exceptions.RayError as error:
                self._workers.remove(worker)
                groups.pop(worker, None)
                looked = -math.inf  # another one is hired
                waiting.extend(given)  # last, in case it is they that end workers
                deaths.update(given or _NONE)
                _check_deaths(deaths, given, len(self._workers), error)
                continue
            free.append(worker)
            if given:
                left -= len(given)
                yield result
            else:
                groups[worker] = result
                deaths[None] = 0

    def _hire(self, ray: Any, images: int) -> Iterator[Any]:
        """Workers for which there is room, and work: so many images."""
        has = ray.cluster_resources()
        gpus = float("GPU" in has) if self._gpus is None else self._gpus
        wanted = {"CPU": self._cores, "GPU": gpus}
        room = min(int(has.get(name, 0) // number) for name, number in wanted.items() if number)
        hired = ray.remote(Worker).options(num_cpus=self._cores, num_gpus=gpus)
        while len(self._workers) < min(max(room, 1), images):
            self._workers.append(hired.remote(self._compile))
            yield self._workers[-1]


def _check_deaths(
    deaths: Counter[int | None], given: list[int], others: int, error: Exception
) -> None:
    """Raise `InputError` where workers die whatever is done."""
    most = _MOST_DEATHS if given else _MOST_DEATHS + others  # a machine may take many with it
    often = [name for name in given or _NONE if deaths[name] >= most]
    if not often:
        return
    when = f"at image {often[0]}" if given else "before they were ready"
    raise InputError(
        f"{most} workers have died {when}; is there memory enough for each? With more "
        f"--ray-cores there are fewer at once. The last one: {_first_line(error)}"
    ) from error


def _as_sentence(error: Any) -> Exception:
    """What a worker raised; where it is a sentence, only that."""
    cause: Exception = error.cause
    if isinstance(cause, InputError | RunFolderError):
        return type(cause)(f"a worker on the Ray cluster says: {cause}")
    return cause


def _patience(ray: Any) -> str:
    return (
        "no worker on the Ray cluster is ready yet: it may be busy, or have no machine with the "
        f"cores and GPUs of one; it has {ray.cluster_resources()}"
    )


def _connected(address: str | None) -> Any:
    """Ray, connected to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_worker_niceness", "0")  # of 15, when it starts a cluster here
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            'expected Ray to be installed for --ray: pip install "sparsecert[ray]"'
        ) from error
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    with _own_handler():
        try:
            own = {"include_dashboard": False} if address == "local" else {}
            ray.init(address, log_to_driver=False, logging_level="error", **own)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"expected a Ray cluster at {address}: {_first_line(error)}; `ray start --head` "
                "starts one, and --ray without an address one for this command"
            ) from error
    return ray


@contextlib.contextmanager
def _own_handler() -> Iterator[None]:
    """Ray would have SIGTERM end the process without what is finished being stored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
