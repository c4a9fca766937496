"""Progress, told on standard error so that tables on standard output can be piped.

On a terminal a bar; elsewhere, as in the log of a job, a line now and then.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 30.0


class Bar(Protocol):
    """What is told of."""

    def add_task(self, description: str, *, total: float, completed: int = 0) -> Any:
        """Begin with something; gives its name."""
        ...

    def update(self, task_id: Any, *, advance: float, description: str | None = None) -> None:
        """So much more of it is done."""
        ...


def bar(show: bool) -> AbstractContextManager[Bar]:
    """Progress as a context manager; it tells nothing where `show` is false."""
    console = Console(stderr=True)
    if show and not console.is_terminal:
        return _Lines(console)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not show,
    )


class _Lines:
    """A line at the beginning and at the end, and every half minute between."""

    def __init__(self, console: Console) -> None:
        self._console, self._tasks, self._told = console, list[list[Any]](), 0.0

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add_task(self, description: str, *, total: float, completed: int = 0) -> int:
        """Begin with something; gives its name."""
        self._tasks.append([description, completed, total])
        self._tell(len(self._tasks) - 1)
        return len(self._tasks) - 1

    def update(self, task_id: int, *, advance: float, description: str | None = None) -> None:
        """So much more of it is done."""
        task = self._tasks[task_id]
        task[:2] = description or task[0], task[1] + advance
        late = time.monotonic() - self._told > SECONDS_BETWEEN_LINES
        if late or task[1] >= task[2]:
            self._tell(task_id)

    def _tell(self, task_id: int) -> None:
        description, completed, total = self._tasks[task_id]
        self._told = time.monotonic()
        self._console.print(
            f"{description}: {completed:.0f} of {total:.0f}", soft_wrap=True, highlight=False
        )
