"""Results on disk: Parquet parts, written as images finish.

Each part is one file with a row per image, and the settings it was made under in its schema
metadata. Parts are written whole or not at all, so after a kill the folder holds every finished
image; parts from several machines can be copied into one folder and add up.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparsecert import files
from sparsecert.errors import InputError, RunFolderError

_METADATA_KEY = b"sparsecert"


Rows = TypeVar("Rows")


def write_part(
    folder: Path,
    name: str,
    first_index: int,
    columns: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
) -> None:
    """Write rows as one part, atomically.

    Args:
        folder: where; it is made if it is missing.
        name: how the file's name begins.
        first_index: of the rows' images, for the file's name.
        columns: `(rows,)` numbers, or `(rows, length)` for a list of numbers in each row.
        settings: what the rows depend on, beside the image, as JSON values; one of them is the
            "fingerprint" of the classifier.

    Raises:
        RunFolderError: if the folder cannot be written to.
    """
    table = pa.table({name: _column(array) for name, array in columns.items()})
    table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(settings)})
    files.make_folder(folder)
    path = folder / f"{name}-{first_index:07d}-{uuid.uuid4().hex[:8]}.parquet"
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_parts(
    folder: Path,
    wanted: Mapping[str, Any],
    decode: Callable[[dict[str, NDArray[Any]]], Rows],
) -> dict[Path, Rows]:
    """The parts written under these settings, by path.

    Args:
        folder: where.
        wanted: settings; parts written under other ones are passed over.
        decode: from columns to rows; raises `InputError` or `KeyError` for rows that cannot be.

    Raises:
        RunFolderError: for a part that is damaged, or of another classifier.
    """
    wanted = json.loads(json.dumps(wanted))  # tuples become lists, as in the file
    parts = {}
    for path in sorted(folder.glob("[!.]*.parquet")):
        try:
            table = pq.read_table(path)
            found = json.loads((table.schema.metadata or {})[_METADATA_KEY])
            fingerprint = found["fingerprint"]
            if found == wanted:
                columns = {name: _array(table[name]) for name in table.column_names}
                parts[path] = decode(columns)
        except InputError as error:
            raise RunFolderError(
                f"the file {path} holds numbers that cannot be: {error}; remove it, and its images "
                "will be done again"
            ) from error
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"the file {path} is truncated, damaged or not sparsecert's ({error}); remove it, "
                "and its images will be done again"
            ) from error
        if fingerprint != wanted["fingerprint"]:
            raise RunFolderError(
                f"the file {path} was made with another model (fingerprint {fingerprint}, this "
                f"run's is {wanted['fingerprint']}); remove it, unless it is the run's "
                "model.safetensors that was changed or damaged"
            )
    return parts


def _column(array: NDArray[Any]) -> Any:
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


def _array(column: Any) -> NDArray[Any]:
    if not pa.types.is_fixed_size_list(column.type):
        array: NDArray[Any] = column.to_numpy()
        return array
    values: NDArray[Any] = column.combine_chunks().flatten().to_numpy()
    return values.reshape(-1, column.type.list_size)
