"""Attacks on disk: a Parquet part per attacked image, written whole or not at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.votes.parquet import read_parts, write_part


@dataclass(frozen=True)
class AttackSettings:
    """What a result depends on, beside the image.

    Attributes:
        fingerprint: of the attacked classifier.
        dataset_fingerprint: of the split.
        plan: the attack and its options, as JSON values.
    """

    fingerprint: str
    dataset_fingerprint: str
    plan: dict[str, Any]


@dataclass(frozen=True)
class StoredAttacks:
    """Attacks on some images of a data set, as in `AttackResult`; all of shape `(images,)`.

    Attributes:
        index: of each image in its data set, rising.
        size: changed features; 0 where the unchanged image fools, -1 where the attack failed.
        label: the class that fresh ballots gave, or `ABSTAIN`.
        queries: questions asked.
        drawn: ballots that went through the network.
        cached: ballots saved, as they retain no changed feature.
        skipped: ballots saved, as the answer was decided before them.
        confirmations: images tried with fresh ballots.
        seconds: time it took.
        adversarial: `(images, values)` the fooling images, flattened.
    """

    index: NDArray[np.int64]
    size: NDArray[np.int64]
    label: NDArray[np.int64]
    queries: NDArray[np.int64]
    drawn: NDArray[np.int64]
    cached: NDArray[np.int64]
    skipped: NDArray[np.int64]
    confirmations: NDArray[np.int64]
    seconds: NDArray[np.float64]
    adversarial: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: NDArray[np.int64]) -> StoredAttacks:
        """The images at these rows."""
        return StoredAttacks(*(getattr(self, field.name)[rows] for field in fields(self)))


class AttackStore:
    """The `attacks` folder of a run.

    Args:
        folder: where the parts are.
        num_values: numbers of one image, all channels together.
    """

    def __init__(self, folder: Path, num_values: int) -> None:
        self.folder, self.num_values = folder, num_values

    def append(self, settings: AttackSettings, finished: StoredAttacks) -> None:
        """Write these images as one part, atomically.

        Raises:
            RunFolderError: if the folder cannot be written to.
        """
        columns = {field.name: getattr(finished, field.name) for field in fields(finished)}
        name, first = str(settings.plan["attack"]), int(finished.index[0])
        write_part(self.folder, name, first, columns, asdict(settings))

    def read(self, settings: AttackSettings) -> StoredAttacks:
        """All images attacked under these settings; of repeated ones the first part's.

        Raises:
            RunFolderError: for a part that is damaged, or of another classifier.
        """
        parts = read_parts(
            self.folder, asdict(settings), lambda columns: StoredAttacks(**columns)
        ).values()
        empty = _empty(self.num_values)
        merged = StoredAttacks(
            *(
                np.concatenate([getattr(part, field.name) for part in [empty, *parts]])
                for field in fields(StoredAttacks)
            )
        )
        return merged.take(np.unique(merged.index, return_index=True)[1])


def _empty(num_values: int) -> StoredAttacks:
    none = np.empty(0, dtype=np.int64)
    images = np.empty((0, num_values), dtype=np.float32)
    return StoredAttacks(none, none, none, none, none, none, none, none, np.empty(0), images)
