"""Tallies on disk: a row per image and stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.followed import join_rankings
from sparsecert.parts import read_parts, write_part
from sparsecert.ranking_columns import ranking_columns, read_rankings
from sparsecert.tally import Tally


@dataclass(frozen=True)
class TallySettings:
    """What the counts of a stage depend on, beside the image.

    Attributes:
        fingerprint: of the model, its ablation and encoding.
        dataset_fingerprint: of the evaluated split.
        seed: of the random streams.
        stage: what the ablations were for, in lower case.
        num_samples: ablations per image.
    """

    fingerprint: str
    dataset_fingerprint: str
    seed: int
    stage: str
    num_samples: int


@dataclass(frozen=True)
class StoredTally:
    """Tallies of some images of a data set.

    Attributes:
        indices: `(images,)` index of each image in its data set, rising.
        seconds: `(images,)` time it took.
        tally: the counts, in the same order.
    """

    indices: NDArray[np.int64]
    seconds: NDArray[np.float64]
    tally: Tally

    def take(self, rows: NDArray[np.int64]) -> StoredTally:
        """The images at these rows."""
        return StoredTally(self.indices[rows], self.seconds[rows], self.tally.take(rows))


class TallyStore:
    """The `tallies` folder of a run."""

    def __init__(self, folder: Path, num_classes: int) -> None:
        self.folder = folder
        self.num_classes = num_classes

    def append(self, settings: TallySettings, finished: Sequence[StoredTally]) -> None:
        """Write these images as one part, atomically; nothing if there are none.

        Raises:
            RunFolderError: if the folder cannot be written to.
        """
        if not finished:
            return
        columns: dict[str, NDArray[Any]] = {
            "index": np.concatenate([part.indices for part in finished]),
            "seconds": np.concatenate([part.seconds for part in finished]),
            "first_choice": np.concatenate([part.tally.first_choice for part in finished]),
        }
        columns |= ranking_columns(*join_rankings([part.tally.counts for part in finished]))
        write_part(
            self.folder, settings.stage, int(finished[0].indices[0]), columns, asdict(settings)
        )

    def read(self, settings: TallySettings) -> StoredTally:
        """All images counted under these settings.

        Where parts overlap, as after a run was repeated on two machines, the part whose name
        sorts first is used. Head-to-head counts are there if every part has them; where classes
        are followed, images of parts without them follow nobody.

        Raises:
            RunFolderError: for a part that is damaged or counted with another model.
        """
        parts = list(self._parts(settings).values())
        if not parts:
            empty = np.zeros((0, self.num_classes), dtype=np.int64)
            return StoredTally(np.empty(0, dtype=np.int64), np.empty(0), Tally(empty))
        # np.unique gives the first occurrence, that is the first part's.
        indices, rows = np.unique(
            np.concatenate([part.indices for part in parts]), return_index=True
        )
        tally = Tally.concatenate([part.tally for part in parts]).take(rows)
        return StoredTally(indices, np.concatenate([part.seconds for part in parts])[rows], tally)

    def compact(self, settings: TallySettings) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        parts = self._parts(settings)
        if len(parts) < 2:
            return
        stored = self.read(settings)
        # Merging parts with and without counts of all classes would lose them.
        recorded = any(part.tally.head_to_head is not None for part in parts.values())
        if recorded and stored.tally.head_to_head is None:
            return
        self.append(settings, [stored])
        for path in parts:
            path.unlink(missing_ok=True)

    def _parts(self, settings: TallySettings) -> dict[Path, StoredTally]:
        def decode(columns: dict[str, NDArray[Any]]) -> StoredTally:
            return self._decoded(columns, settings.num_samples)

        return read_parts(self.folder, asdict(settings), decode)

    def _decoded(self, columns: dict[str, NDArray[Any]], num_samples: int) -> StoredTally:
        first_choice, classes = columns["first_choice"], self.num_classes
        if first_choice.shape[1] != classes or (first_choice.sum(axis=1) != num_samples).any():
            raise InputError(
                f"expected counts that add up to {num_samples} votes in {classes} classes"
            )
        pairs, followed = read_rankings(columns, first_choice.sum(axis=1), classes)
        tally = Tally(first_choice, pairs, followed)
        return StoredTally(columns["index"], columns["seconds"], tally)
