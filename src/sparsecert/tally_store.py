"""Tallies on disk: Parquet parts, written as images finish.

Each part is one file with a row per image and stage, and the settings it was counted under in
its schema metadata. Parts are written whole or not at all, so after a kill the folder holds every
finished image; parts from several machines can be copied into one folder and add up.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparsecert import files
from sparsecert.errors import InputError, RunFolderError
from sparsecert.tally import Tally

_METADATA_KEY = b"sparsecert"


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
        pairs = self.tally.head_to_head
        counts = Tally(self.tally.first_choice[rows], None if pairs is None else pairs[rows])
        return StoredTally(self.indices[rows], self.seconds[rows], counts)


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
        columns = {
            "index": pa.array(np.concatenate([part.indices for part in finished]), pa.int64()),
            "seconds": pa.array(np.concatenate([part.seconds for part in finished]), pa.float64()),
            "first_choice": _lists(np.concatenate([part.tally.first_choice for part in finished])),
        }
        pairs = _head_to_head(finished)
        if pairs is not None:
            # One half tells the other: [c, j] + [j, c] is the number of ballots.
            smaller, larger = np.triu_indices(self.num_classes, k=1)
            columns["head_to_head"] = _lists(pairs[:, smaller, larger])
        table = pa.table(columns).replace_schema_metadata(
            {_METADATA_KEY: json.dumps(asdict(settings))}
        )
        files.make_folder(self.folder)
        first = int(finished[0].indices[0])
        path = self.folder / f"{settings.stage}-{first:07d}-{uuid.uuid4().hex[:8]}.parquet"
        with files.atomic_path(path) as temporary:
            pq.write_table(table, temporary)

    def read(self, settings: TallySettings) -> StoredTally:
        """All images counted under these settings.

        Where parts overlap, as after a run was repeated on two machines, the part whose name
        sorts first is used. Head-to-head counts are there if every part has them.

        Raises:
            RunFolderError: for a part that is damaged or counted with another model.
        """
        parts = [part for path in self._parts() if (part := self._read_part(path, settings))]
        if not parts:
            empty = np.zeros((0, self.num_classes), dtype=np.int64)
            return StoredTally(np.empty(0, dtype=np.int64), np.empty(0), Tally(empty))
        # np.unique gives the first occurrence, that is the first part's.
        indices, rows = np.unique(
            np.concatenate([part.indices for part in parts]), return_index=True
        )
        pairs = _head_to_head(parts)
        tally = Tally(
            np.concatenate([part.tally.first_choice for part in parts])[rows],
            None if pairs is None else pairs[rows],
        )
        return StoredTally(indices, np.concatenate([part.seconds for part in parts])[rows], tally)

    def compact(self, settings: TallySettings) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        parts = {p: part for p in self._parts() if (part := self._read_part(p, settings))}
        # Merging parts with and without head-to-head counts would lose them.
        recorded = {part.tally.head_to_head is not None for part in parts.values()}
        if len(parts) < 2 or len(recorded) > 1:
            return
        stored = self.read(settings)
        self.append(settings, [stored])
        for path in parts:
            path.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.parquet"))

    def _read_part(self, path: Path, wanted: TallySettings) -> StoredTally | None:
        """The part's images if they were counted under the wanted settings."""
        try:
            table = pq.read_table(path)
            found = TallySettings(**json.loads((table.schema.metadata or {})[_METADATA_KEY]))
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"the tally file {path} is truncated, damaged or not sparsecert's ({error}); "
                "remove it, and its images will be counted again"
            ) from error
        if found.fingerprint != wanted.fingerprint:
            raise RunFolderError(
                f"the tally file {path} was counted with another model (fingerprint "
                f"{found.fingerprint}, this run's is {wanted.fingerprint}); remove it"
            )
        if found != wanted:
            return None
        classes = self.num_classes
        first_choice = _array(table["first_choice"])
        if (
            first_choice.shape[1] != classes
            or (first_choice.sum(axis=1) != wanted.num_samples).any()
        ):
            raise RunFolderError(
                f"the tally file {path} holds counts that do not add up to "
                f"{wanted.num_samples} votes in {classes} classes; remove it"
            )
        pairs = None
        if "head_to_head" in table.column_names:
            smaller, larger = np.triu_indices(classes, k=1)
            wins = _array(table["head_to_head"])
            pairs = np.zeros((len(wins), classes, classes), dtype=np.int64)
            pairs[:, smaller, larger] = wins
            pairs[:, larger, smaller] = wanted.num_samples - wins
        try:
            tally = Tally(first_choice, pairs)
        except InputError as error:
            raise RunFolderError(
                f"the tally file {path} holds counts that no votes can give ({error}); remove it"
            ) from error
        return StoredTally(table["index"].to_numpy(), table["seconds"].to_numpy(), tally)


def _head_to_head(parts: Sequence[StoredTally]) -> NDArray[np.int64] | None:
    """The parts' head-to-head counts, if every part has them."""
    recorded = [part.tally.head_to_head for part in parts]
    pairs = [counts for counts in recorded if counts is not None]
    return np.concatenate(pairs) if len(pairs) == len(parts) else None


def _lists(counts: NDArray[np.int64]) -> Any:
    """`(rows, length)` counts as a column of lists of that length."""
    return pa.FixedSizeListArray.from_arrays(counts.ravel(), counts.shape[1])


def _array(column: Any) -> NDArray[np.int64]:
    """The inverse of `_lists`."""
    counts: NDArray[np.int64] = column.combine_chunks().flatten().to_numpy()
    return counts.reshape(-1, column.type.list_size)
