"""Tallies on disk: a row per image and stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.votes.ranking_columns import ranking_columns, read_rankings
from sparsecert.votes.store import VoteSettings, VoteStore
from sparsecert.votes.tally import Tally


@dataclass(frozen=True)
class TallySettings(VoteSettings):
    """What the counts of a stage depend on, beside the image.

    Attributes:
        seed: of the random streams.
        stage: what the ablations were for, in lower case.
        num_samples: ablations per image.
    """

    seed: int
    stage: str
    num_samples: int


class TallyStore(VoteStore[TallySettings, Tally]):
    """The tallies of a run.

    Head-to-head counts are there if every part that is read has them; where classes are followed,
    images of parts without them follow nobody.
    """

    def __init__(self, folder: Path, num_classes: int) -> None:
        super().__init__(folder)
        self.num_classes = num_classes

    def _name(self, settings: TallySettings) -> str:
        return settings.stage

    def _columns(self, votes: Tally) -> dict[str, NDArray[Any]]:
        rankings = ranking_columns(votes.head_to_head, votes.followed)
        return {"first_choice": votes.first_choice, **rankings}

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: TallySettings) -> Tally:
        first_choice, classes = columns["first_choice"], self.num_classes
        samples = settings.num_samples
        if first_choice.shape[1] != classes or (first_choice.sum(axis=1) != samples).any():
            raise InputError(f"expected counts that add up to {samples} votes in {classes} classes")
        return Tally(first_choice, *read_rankings(columns, first_choice.sum(axis=1), classes))

    def _empty(self, settings: TallySettings) -> Tally:
        return Tally(np.zeros((0, self.num_classes), dtype=np.int64))

    def _concatenated(self, votes: Sequence[Tally]) -> Tally:
        return Tally.concatenate(votes)

    def _is_less(self, merged: Tally, parts: Sequence[Tally]) -> bool:
        recorded = any(part.head_to_head is not None for part in parts)
        return recorded and merged.head_to_head is None
