"""What tests reach into behind the public face: when it moves, this is the file to adapt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import ArrayLike
from torch import nn

import sparsecert as sc
from sparsecert.certification import certify_by_look, stop
from sparsecert.cli import measuring
from sparsecert.runs import train as run_training
from sparsecert.training.fit import Training
from tests.helpers.commands import SMALL, run

# Statements for `commands.kill_when`: store what has been finished at once, in small pieces.
STORE_AT_ONCE = """
import sparsecert.procedures.execution, sparsecert.procedures.family, sparsecert.procedures.tallies
import sparsecert.runs.train
sparsecert.procedures.execution.FLUSH_SECONDS = 0
sparsecert.procedures.tallies._BALLOTS_PER_GROUP = 1
sparsecert.procedures.tallies._PASSES_PER_GROUP = 1
sparsecert.procedures.family._BALLOTS_PER_GROUP = 1
sparsecert.runs.train.CHECKPOINT_SECONDS = 0.05
"""


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on any pass through a network is an error: what is needed is stored."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(nn.Module, "__call__", refuse)


def few_are_many(monkeypatch: pytest.MonkeyPatch, most: int = 3, tracked: int = 8) -> None:
    """More than `most` classes are too many to count every pair; so many are tracked then."""
    monkeypatch.setattr("sparsecert.votes.tracked_classes.MOST_CLASSES_HEAD_TO_HEAD", most)
    monkeypatch.setattr("sparsecert.votes.tally._MOST_TRACKED", tracked)


def stopping(label: Any, ablation: sc.UniformAblation) -> Callable[..., Any]:
    """When to stop counting ballots, where these classes are to be certified by majority."""

    def stops(tally: sc.Tally, rows: ArrayLike) -> Any:
        return stop(tally, certify_by_look(tally, label[rows], ablation, 0.05, "majority"))

    return stops


def short_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sparsecert demo` trains for an epoch and counts few votes."""

    whole = measuring._certify

    def certify(folder: Any, *_: Any) -> None:
        monkeypatch.setattr("sparsecert.cli.measuring._certify", whole)
        run("certify", folder.path, "--limit", 5, *SMALL)

    monkeypatch.setattr("sparsecert.cli.measuring.DEMO_EPOCHS", 1)
    monkeypatch.setattr("sparsecert.cli.measuring._certify", certify)


class CutOffError(Exception):
    """What `cut_off_after` ends training with."""


def cut_off_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Training saves a checkpoint after every step, and ends after so many."""
    save, saved = Training.save, 0

    def save_and_stop(training: Training, path: Path) -> None:
        nonlocal saved
        save(training, path)
        saved += 1
        if saved == steps:
            raise CutOffError

    monkeypatch.setattr(run_training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(Training, "save", save_and_stop)
