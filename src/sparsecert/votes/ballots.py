"""Ballots of fixed families on disk: every set's ranking of the classes, a row per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.json_values import build
from sparsecert.votes.store import VoteSettings, VoteStore


@dataclass(frozen=True)
class Ballots:
    """Every set's ballot on some images.

    Attributes:
        ranks: `(images, sets, classes)` rank of each class on each ballot; 0 is the first choice.
    """

    ranks: NDArray[np.integer]

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores that rank the classes so, for `certify_ballots`."""
        return -self.ranks.astype(np.float32)

    def take(self, rows: NDArray[np.int64]) -> Ballots:
        """The images at these rows."""
        return Ballots(self.ranks[rows])


class BallotStore(VoteStore[VoteSettings, Ballots]):
    """The ballots of a run.

    Args:
        folder: where the parts are.
        num_sets: ballots per image.
        num_classes: classes ranked by each.
        num_images: of the data set; None where it is not known.
    """

    def __init__(
        self, folder: Path, num_sets: int, num_classes: int, num_images: int | None = None
    ) -> None:
        super().__init__(folder, num_images)
        self.num_sets, self.num_classes = num_sets, num_classes

    def _settings(self, values: Mapping[str, Any]) -> VoteSettings:
        return build(VoteSettings, values)

    def _columns(self, votes: Ballots) -> dict[str, NDArray[Any]]:
        return {"ranks": votes.ranks.reshape(len(votes.ranks), -1)}

    def _widths(self, settings: VoteSettings) -> dict[str, int]:
        return {"ranks": self.num_sets * self.num_classes}

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: VoteSettings) -> Ballots:
        shape = (len(columns["index"]), self.num_sets, self.num_classes)
        ranks = columns["ranks"].reshape(shape)
        if (np.sort(ranks, axis=2) != np.arange(self.num_classes)).any():
            raise InputError(f"expected every ballot to rank {self.num_classes} classes")
        return Ballots(ranks)

    def _empty(self, settings: VoteSettings) -> Ballots:
        return Ballots(np.empty((0, self.num_sets, self.num_classes), dtype=np.uint16))

    def _concatenated(self, votes: Sequence[Ballots]) -> Ballots:
        return Ballots(np.concatenate([part.ranks for part in votes]))


def ranks_of(scores: NDArray[np.floating]) -> NDArray[np.integer]:
    """Rank of each class by falling score, the smaller index first where two are equal.

    Args:
        scores: `(images, sets, classes)`.
    """
    order = np.argsort(-scores, axis=2, kind="stable")
    classes = scores.shape[2]
    ranks = np.empty(scores.shape, dtype=np.min_scalar_type(classes - 1))
    np.put_along_axis(ranks, order, np.arange(classes, dtype=ranks.dtype), axis=2)
    return ranks
