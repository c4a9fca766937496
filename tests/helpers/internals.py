"""What tests reach into behind the public face: when it moves, this is the file to adapt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from numpy.typing import ArrayLike
from torch import nn

import sparsecert as sc
from sparsecert.cli import measuring
from sparsecert.sequential_certification import certified_by_look, stop
from sparsecert.training import checkpoint, fit
from tests.helpers.commands import SMALL, run

# Statements for `commands.kill_when`: store what has been finished at once, in small pieces.
STORE_AT_ONCE = """
import sparsecert.procedures.family, sparsecert.procedures.sampled, sparsecert.procedures.sequential
import sparsecert.training.fit
sparsecert.procedures.sampled._FLUSH_SECONDS = 0
sparsecert.procedures.sampled._BALLOTS_PER_GROUP = 1
sparsecert.procedures.sequential._PASSES_PER_GROUP = 1
sparsecert.procedures.family._BALLOTS_PER_GROUP = 1
sparsecert.training.fit.CHECKPOINT_SECONDS = 0.05
"""


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on any pass through a network is an error: what is needed is stored."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(nn.Module, "__call__", refuse)


def few_are_many(monkeypatch: pytest.MonkeyPatch, most: int = 3, followed: int = 8) -> None:
    """More than `most` classes are too many to count every pair; so many are followed then."""
    monkeypatch.setattr("sparsecert.votes.tally.MOST_CLASSES_HEAD_TO_HEAD", most)
    monkeypatch.setattr("sparsecert.smoothing.shortlist.MOST_FOLLOWED", followed)


def stopping(label: Any, ablation: sc.UniformAblation) -> Callable[..., Any]:
    """When to stop counting ballots, where these classes are to be certified by majority."""

    def stops(tally: sc.LookTally, rows: ArrayLike) -> Any:
        return stop(tally, certified_by_look(tally, label[rows], ablation, 0.05, "majority"))

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
    save, saved = checkpoint.save_checkpoint, 0

    def save_and_stop(*arguments: Any) -> None:
        nonlocal saved
        save(*arguments)
        saved += 1
        if saved == steps:
            raise CutOffError

    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(fit, "save_checkpoint", save_and_stop)
