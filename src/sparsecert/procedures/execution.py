"""Where images are worked on: the one loop behind certification, prediction, families and attacks.

Work says what is missing, how to do it and where it is kept; an execution decides where and when.
What is finished is stored every few seconds, so that a kill loses little, and a repeated command
goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sparsecert import progress

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
    """

    images: NDArray[np.int64]
    seconds: NDArray[np.float64]
    result: Result


@dataclass(frozen=True)
class Work(Generic[Result]):
    """Something to be done for images of a data set.

    Attributes:
        description: what, in a few words.
        num_images: how many, those that are done included.
        missing: `(images,)` those that are not.
        start: loads what it takes, which is not done where nothing is missing; gives how many
            images are best worked on together, and what does it.
        store: keeps what has been finished.
    """

    description: str
    num_images: int
    missing: NDArray[np.int64]
    start: Callable[[], tuple[int, Callable[[NDArray[np.int64]], Result]]]
    store: Callable[[Sequence[Finished[Result]]], None]


@runtime_checkable
class Execution(Protocol):
    """Where work is done.

    Attributes:
        compile: whether base classifiers run through `torch.compile`.
    """

    @property
    def compile(self) -> bool: ...  # noqa: D102

    def run(self, work: Work[Any]) -> None:
        """Do what is missing, and store it as it is finished."""
        ...


@dataclass(frozen=True)
class LocalExecution:
    """In this process, one group of images after another.

    Attributes:
        show_progress: draw a progress bar.
        compile: run base classifiers through `torch.compile`.
    """

    show_progress: bool = False
    compile: bool = False

    def run(self, work: Work[Any]) -> None:
        """Do what is missing; see `Execution`."""
        missing = work.missing
        with progress.bar(self.show_progress) as bar:
            done = work.num_images - len(missing)
            task = bar.add_task(work.description, total=work.num_images, completed=done)
            if not len(missing):
                return
            group, do = work.start()
            pending: list[Finished[Any]] = []
            flushed = time.monotonic()
            try:
                for start in range(0, len(missing), group):
                    images = missing[start : start + group]
                    started = time.perf_counter()
                    result = do(images)
                    seconds = (time.perf_counter() - started) / len(images)
                    pending.append(Finished(images, np.full(len(images), seconds), result))
                    bar.update(task, advance=len(images))
                    if time.monotonic() - flushed > FLUSH_SECONDS:
                        finished, pending, flushed = pending, [], time.monotonic()
                        work.store(finished)
            finally:  # whoever interrupts it loses the group that was under way, and no other
                work.store(pending)
