"""The log of a training, `train.jsonl`: one line per epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sparsecert.errors import RunFolderError
from sparsecert.json_values import build


@dataclass(frozen=True)
class Epoch:
    """What is read of a line.

    Attributes:
        epoch: its number, from 1 on.
        ablated_accuracy: share of ablated training inputs classified correctly.
        seconds: of training so far.
    """

    epoch: int
    ablated_accuracy: float
    seconds: float


def read_log(path: Path) -> list[Epoch]:
    """The epochs; none without a log.

    Raises:
        RunFolderError: if the log is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8") as lines:
            return [build(Epoch, json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise damaged_log(path, error) from error


def damaged_log(path: Path, error: Exception) -> RunFolderError:
    """What to say of a log that cannot be read."""
    return RunFolderError(
        f"{path} is damaged ({error}); remove it, and only the training time and its curve are lost"
    )
