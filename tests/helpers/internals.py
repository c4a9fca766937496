"""What tests reach into behind the public face: when it moves, this is the file to adapt."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

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
