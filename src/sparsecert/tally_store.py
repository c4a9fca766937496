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
from sparsecert.errors import RunFolderError
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
        counts = Tally(self.tally.first_choice[rows])
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
        columns = [
            pa.array(np.concatenate([part.indices for part in finished]), pa.int64()),
            pa.array(np.concatenate([part.seconds for part in finished]), pa.float64()),
            pa.FixedSizeListArray.from_arrays(
                np.concatenate([part.tally.first_choice for part in finished]).ravel(),
                self.num_classes,
            ),
        ]
        schema = pa.schema(
            {
                "index": pa.int64(),
                "seconds": pa.float64(),
                "first_choice": pa.list_(pa.int64(), self.num_classes),
            },
            metadata={_METADATA_KEY: json.dumps(asdict(settings))},
        )
        files.make_folder(self.folder)
        first = int(finished[0].indices[0])
        path = self.folder / f"{settings.stage}-{first:07d}-{uuid.uuid4().hex[:8]}.parquet"
        with files.atomic_path(path) as temporary:
            pq.write_table(pa.Table.from_arrays(columns, schema=schema), temporary)

    def read(self, settings: TallySettings) -> StoredTally:
        """All images counted under these settings.

        Where parts overlap, as after a run was repeated on two machines, the part whose name
        sorts first is used.

        Raises:
            RunFolderError: for a part that is damaged or counted with another model.
        """
        tables = [
            table
            for path in self._parts()
            if (table := self._read_part(path, settings)) is not None
        ]
        if not tables:
            empty = np.zeros((0, self.num_classes), dtype=np.int64)
            return StoredTally(np.empty(0, dtype=np.int64), np.empty(0), Tally(empty))
        merged = pa.concat_tables(tables)
        # np.unique gives the first occurrence, that is the first part's.
        indices, rows = np.unique(merged["index"].to_numpy(), return_index=True)
        counts = np.stack(merged["first_choice"].to_numpy())[rows]
        return StoredTally(indices, merged["seconds"].to_numpy()[rows], Tally(counts))

    def compact(self, settings: TallySettings) -> None:
        """Merge the parts of these settings into one; safe to kill at any moment."""
        parts = [p for p in self._parts() if self._read_part(p, settings) is not None]
        if len(parts) < 2:
            return
        stored = self.read(settings)
        self.append(settings, [stored])
        for path in parts:
            path.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.parquet"))

    def _read_part(self, path: Path, wanted: TallySettings) -> Any | None:
        """The part's table if it was counted under the wanted settings."""
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
        classes = table.schema.field("first_choice").type.list_size
        counts = table["first_choice"].combine_chunks().flatten().to_numpy().reshape(-1, classes)
        if classes != self.num_classes or (counts.sum(axis=1) != wanted.num_samples).any():
            raise RunFolderError(
                f"the tally file {path} holds counts that do not add up to "
                f"{wanted.num_samples} votes in {self.num_classes} classes; remove it"
            )
        return table
