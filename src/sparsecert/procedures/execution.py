"""Where images are worked on: the one loop behind certification, prediction, families and attacks.

Work says what is missing, how to do it and where it is kept; an execution decides where and when.
What is finished is stored every few seconds, so that a kill loses little, and a repeated command
goes on where it stopped.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sparsecert import progress
from sparsecert.devices import keep_memory, what_computes

# A kill loses at most this many seconds of work, or one group of images.
FLUSH_SECONDS = 10.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """Images that have been worked on.

    Attributes:
        images: `(images,)` indices in their data set.
        seconds: `(images,)` time each of them took.
        result: what came of it.
        counted_by: what did it, in words.
    """

    images: NDArray[np.int64]
    seconds: NDArray[np.float64]
    result: Result
    counted_by: str


@dataclass(frozen=True)
class Task(Generic[Result]):
    """What is done to images, described so that another process can do it: it can be pickled.

    Attributes:
        load: gives the network; takes whether to compile it. Tasks whose `load` is equal share one.
        group_size: how many images are best worked on together; takes the network.
        do: does it; takes the network, and `(images,)` indices in the data set.
    """

    load: Callable[[bool], Any]
    group_size: Callable[[Any], int]
    do: Callable[[Any, NDArray[np.int64]], Result]


@dataclass(frozen=True)
class Work(Generic[Result]):
    """Something to be done for images of a data set.

    Attributes:
        description: what, in a few words.
        num_images: how many, those that are done included.
        missing: `(images,)` those that are not.
        task: what is done to them.
        store: keeps what has been finished.
    """

    description: str
    num_images: int
    missing: NDArray[np.int64]
    task: Task[Result]
    store: Callable[[Sequence[Finished[Result]]], None]


class Worker:
    """What carries out tasks in one process, and keeps the network from one to the next.

    Args:
        compile: run base classifiers through `torch.compile`.
    """

    def __init__(self, compile: bool) -> None:
        keep_memory()
        self._compile, self._words = compile, what_computes(compile=compile)
        self._task: Task[Any] | None = None
        self._network: Any = None

    def begin(self, task: Task[Any]) -> int:
        """Load what the task takes; returns how many images are best worked on together."""
        if self._task is None or task.load != self._task.load:
            self._task = self._network = None  # before there are two in memory
            self._network = task.load(self._compile)
        self._task = task
        return task.group_size(self._network)

    def do(self, images: NDArray[np.int64]) -> Finished[Any]:
        """Carry the task out on these images."""
        assert self._task is not None
        started = time.perf_counter()
        result = self._task.do(self._network, images)
        seconds = (time.perf_counter() - started) / len(images)
        return Finished(images, np.full(len(images), seconds), result, self._words)


class Execution(ABC):
    """Where work is done.

    Args:
        show_progress: draw a progress bar.
    """

    def __init__(self, *, show_progress: bool = False) -> None:
        self._show_progress = show_progress

    def run(self, work: Work[Any]) -> None:
        """Do what is missing, and store it as it is finished."""
        missing = work.missing
        with progress.bar(self._show_progress) as bar:
            done = work.num_images - len(missing)
            task = bar.add_task(work.description, total=work.num_images, completed=done)
            if not len(missing):
                return
            pending: list[Finished[Any]] = []
            flushed = time.monotonic()
            try:
                for finished in self._each(work.task, missing):
                    pending.append(finished)
                    bar.update(task, advance=len(finished.images))
                    if time.monotonic() - flushed > FLUSH_SECONDS:
                        storing, pending, flushed = pending, [], time.monotonic()
                        work.store(storing)
            finally:  # whoever interrupts it loses what was under way, and nothing else
                work.store(pending)

    @abstractmethod
    def _each(self, task: Task[Any], images: NDArray[np.int64]) -> Iterator[Finished[Any]]:
        """Carry a task out on images, in groups, in any order."""


class LocalExecution(Execution):
    """In this process, one group of images after another.

    Args:
        show_progress: draw a progress bar.
        compile: run base classifiers through `torch.compile`.
    """

    def __init__(self, *, show_progress: bool = False, compile: bool = False) -> None:
        super().__init__(show_progress=show_progress)
        self._worker = Worker(compile)

    def _each(self, task: Task[Any], images: NDArray[np.int64]) -> Iterator[Finished[Any]]:
        group = self._worker.begin(task)
        for start in range(0, len(images), group):
            yield self._worker.do(images[start : start + group])
