"""Counts at several looks on disk: a row per image and stage, among a run's tallies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.votes.look_tally import LookTally
from sparsecert.votes.ranking_columns import ranking_columns, read_rankings
from sparsecert.votes.store import Stored, VoteStore
from sparsecert.votes.tally_store import TallySettings


@dataclass(frozen=True)
class LookSettings(TallySettings):
    """What the counts of a stage depend on, beside the image; `num_samples` is the budget.

    Neither the rule nor alpha is among them: they decide how far an image is counted, not what the
    counts are.

    Attributes:
        looks: numbers of ballots at which counts are stored.
    """

    looks: tuple[int, ...]


class LookStore(VoteStore[LookSettings, LookTally]):
    """The counts at several looks of a run; of images counted twice, the furthest count."""

    def __init__(self, folder: Path, num_classes: int) -> None:
        super().__init__(folder)
        self.num_classes = num_classes

    def _name(self, settings: LookSettings) -> str:
        return f"{settings.stage}-sequential"

    def _columns(self, votes: LookTally) -> dict[str, NDArray[Any]]:
        rankings = ranking_columns(votes.head_to_head, votes.followed)
        return {"first_choice": votes.first_choice.reshape(len(votes), -1), **rankings}

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: LookSettings) -> LookTally:
        rows, looks, classes = len(columns["index"]), len(settings.looks), self.num_classes
        first_choice = columns["first_choice"].reshape(rows, looks, classes)
        rankings = read_rankings(columns, first_choice.sum(axis=2), classes)
        return LookTally(settings.num_samples, first_choice, *rankings)

    def _empty(self, settings: LookSettings) -> LookTally:
        return LookTally.empty(settings.num_samples, 0, self.num_classes)

    def _concatenated(self, votes: Sequence[LookTally]) -> LookTally:
        return LookTally.concatenate(votes)

    def _by_preference(self, joined: Stored[LookTally]) -> NDArray[np.int64]:
        return np.argsort(-joined.votes.num_reached, kind="stable")
