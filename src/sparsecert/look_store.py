"""Counts at several looks on disk: a row per image and stage, among a run's tallies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.look_tally import LookTally
from sparsecert.parts import read_parts, write_part
from sparsecert.ranking_columns import ranking_columns, read_rankings


@dataclass(frozen=True)
class LookSettings:
    """What the counts of a stage depend on, beside the image.

    Neither the rule nor alpha is among them: they decide how far an image is counted, not what the
    counts are.

    Attributes:
        fingerprint: of the model, its ablation and encoding.
        dataset_fingerprint: of the evaluated split.
        seed: of the random streams.
        stage: what the ablations were for, in lower case.
        num_samples: the budget.
        looks: numbers of ballots at which counts are stored.
    """

    fingerprint: str
    dataset_fingerprint: str
    seed: int
    stage: str
    num_samples: int
    looks: tuple[int, ...]


@dataclass(frozen=True)
class StoredLooks:
    """Counts of some images of a data set.

    Attributes:
        indices: `(images,)` index of each image in its data set, rising.
        seconds: `(images,)` time it took.
        tally: the counts, in the same order.
    """

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    tally: LookTally

    def take(self, rows: NDArray[np.int64]) -> StoredLooks:
        """The images at these rows."""
        return StoredLooks(self.indices[rows], self.seconds[rows], self.tally.take(rows))


class LookStore:
    """The counts at several looks in the `tallies` folder of a run."""

    def __init__(self, folder: Path, num_classes: int) -> None:
        self.folder = folder
        self.num_classes = num_classes

    def append(self, settings: LookSettings, finished: Sequence[StoredLooks]) -> None:
        """Write these images as one part, atomically; nothing if there are none.

        Raises:
            RunFolderError: if the folder cannot be written to.
        """
        if not finished:
            return
        tally = LookTally.concatenate([part.tally for part in finished])
        rows = len(tally)
        columns: dict[str, NDArray[Any]] = {
            "index": np.concatenate([part.indices for part in finished]),
            "seconds": np.concatenate([part.seconds for part in finished]),
            "first_choice": tally.first_choice.reshape(rows, -1),
        }
        columns |= ranking_columns(tally.head_to_head, tally.followed)
        name = f"{settings.stage}-sequential"
        write_part(self.folder, name, int(finished[0].indices[0]), columns, asdict(settings))

    def read(self, settings: LookSettings) -> StoredLooks:
        """All images counted under these settings; of repeated ones the furthest count.

        Raises:
            RunFolderError: for a part that is damaged or counted with another model.
        """
        parts = list(self._parts(settings).values())
        if not parts:
            empty = LookTally.empty(settings.num_samples, 0, self.num_classes)
            return StoredLooks(np.empty(0, dtype=np.int64), np.empty(0), empty)
        merged = StoredLooks(
            np.concatenate([part.indices for part in parts]),
            np.concatenate([part.seconds for part in parts]),
            LookTally.concatenate([part.tally for part in parts]),
        )
        furthest = np.lexsort((-merged.tally.num_reached, merged.indices))
        first = np.unique(merged.indices[furthest], return_index=True)[1]
        return merged.take(furthest[first])

    def compact(self, settings: LookSettings) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        parts = self._parts(settings)
        if len(parts) > 1:
            self.append(settings, [self.read(settings)])
            for path in parts:
                path.unlink(missing_ok=True)

    def _parts(self, settings: LookSettings) -> dict[Path, StoredLooks]:
        def decode(columns: dict[str, NDArray[Any]]) -> StoredLooks:
            return self._decoded(columns, settings)

        return read_parts(self.folder, asdict(settings), decode)

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: LookSettings) -> StoredLooks:
        rows, looks, classes = len(columns["index"]), len(settings.looks), self.num_classes
        first_choice = columns["first_choice"].reshape(rows, looks, classes)
        pairs, followed = read_rankings(columns, first_choice.sum(axis=2), classes)
        tally = LookTally(settings.num_samples, first_choice, pairs, followed)
        return StoredLooks(columns["index"], columns["seconds"], tally)
