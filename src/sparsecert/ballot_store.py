"""Ballots of fixed families on disk: every set's ranking of the classes, a row per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.parts import read_parts, write_part

_NAME = "ballots"


@dataclass(frozen=True)
class BallotSettings:
    """What the ballots depend on, beside the image.

    Attributes:
        fingerprint: of the model, its family of retained sets and encoding.
        dataset_fingerprint: of the evaluated split.
    """

    fingerprint: str
    dataset_fingerprint: str


@dataclass(frozen=True)
class StoredBallots:
    """Ballots of some images of a data set.

    Attributes:
        indices: `(images,)` index of each image in its data set, rising.
        seconds: `(images,)` time it took.
        ranks: `(images, sets, classes)` rank of each class on each ballot; 0 is the first choice.
    """

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    ranks: NDArray[np.integer]

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores that rank the classes so, for `certify_ballots`."""
        return -self.ranks.astype(np.float32)

    def take(self, rows: NDArray[np.int64]) -> StoredBallots:
        """The images at these rows."""
        return StoredBallots(self.indices[rows], self.seconds[rows], self.ranks[rows])


class BallotStore:
    """The ballots among a run's `tallies`.

    Args:
        folder: where the parts are.
        num_sets: ballots per image.
        num_classes: classes ranked by each.
    """

    def __init__(self, folder: Path, num_sets: int, num_classes: int) -> None:
        self.folder, self.num_sets, self.num_classes = folder, num_sets, num_classes

    def append(self, settings: BallotSettings, finished: Sequence[StoredBallots]) -> None:
        """Write these images as one part, atomically; nothing if there are none.

        Raises:
            RunFolderError: if the folder cannot be written to.
        """
        if not finished:
            return
        ranks = np.concatenate([part.ranks for part in finished])
        columns = {
            "index": np.concatenate([part.indices for part in finished]),
            "seconds": np.concatenate([part.seconds for part in finished]),
            "ranks": ranks.reshape(len(ranks), -1),
        }
        write_part(self.folder, _NAME, int(finished[0].indices[0]), columns, asdict(settings))

    def read(self, settings: BallotSettings) -> StoredBallots:
        """All images with ballots under these settings; of repeated ones the first part's.

        Raises:
            RunFolderError: for a part that is damaged or of another model.
        """
        parts = list(self._parts(settings).values())
        empty = StoredBallots(
            np.empty(0, dtype=np.int64),
            np.empty(0),
            np.empty((0, self.num_sets, self.num_classes), dtype=np.uint16),
        )
        merged = StoredBallots(
            np.concatenate([part.indices for part in [empty, *parts]]),
            np.concatenate([part.seconds for part in [empty, *parts]]),
            np.concatenate([part.ranks for part in parts]) if parts else empty.ranks,
        )
        return merged.take(np.unique(merged.indices, return_index=True)[1])

    def compact(self, settings: BallotSettings) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        parts = self._parts(settings)
        if len(parts) > 1:
            self.append(settings, [self.read(settings)])
            for path in parts:
                path.unlink(missing_ok=True)

    def _parts(self, settings: BallotSettings) -> dict[Path, StoredBallots]:
        return read_parts(self.folder, asdict(settings), self._decoded)

    def _decoded(self, columns: dict[str, NDArray[Any]]) -> StoredBallots:
        shape = (len(columns["index"]), self.num_sets, self.num_classes)
        ranks = columns["ranks"].reshape(shape)
        if (np.sort(ranks, axis=2) != np.arange(self.num_classes)).any():
            raise InputError(f"expected every ballot to rank {self.num_classes} classes")
        return StoredBallots(columns["index"], columns["seconds"], ranks)


def ranks_of(scores: NDArray[np.floating]) -> NDArray[np.integer]:
    """Rank of each class by falling score, the smaller index first where two are equal.

    Args:
        scores: `(images, sets, classes)`.
    """
    order = np.argsort(-scores, axis=2, kind="stable")
    classes = scores.shape[2]
    ranks = np.empty(scores.shape, dtype=np.uint8 if classes <= 256 else np.uint16)
    np.put_along_axis(ranks, order, np.arange(classes, dtype=ranks.dtype), axis=2)
    return ranks
