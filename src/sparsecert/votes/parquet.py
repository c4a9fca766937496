"""Results on disk: Parquet parts, written as images finish.

Each part is one file with a row per image, and the settings it was made under in its schema
metadata. Parts are written whole or not at all, so after a kill the folder holds every finished
image; parts from several machines can be copied into one folder and add up. Several processes may
write, merge and read the parts of a folder at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparsecert import files
from sparsecert.errors import InputError, RunFolderError

_METADATA_KEY, _COUNTERS_KEY = b"sparsecert", b"sparsecert-counted-by"

# What to do about a part in a run folder, whose images can be counted again.
REMEDY = "; remove it, and its images will be done again"

Rows = TypeVar("Rows")


def write_part(
    folder: Path,
    name: str,
    first_index: int,
    columns: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    counted_by: Collection[str] = (),
) -> None:
    """Write rows as one part, atomically.

    Args:
        folder: where; it is made if it is missing.
        name: how the file's name begins.
        first_index: of the rows' images, for the file's name.
        columns: `(rows,)` numbers, or `(rows, length)` for a list of numbers in each row.
        settings: what the rows depend on, beside the image, as JSON values; one of them is the
            "fingerprint" of the classifier.
        counted_by: what computed the rows, in words.

    Raises:
        RunFolderError: if the folder cannot be written to.
    """
    table = pa.table({name: _column(array) for name, array in columns.items()})
    metadata = {_METADATA_KEY: json.dumps(settings), _COUNTERS_KEY: json.dumps(sorted(counted_by))}
    table = table.replace_schema_metadata(metadata)
    files.make_folder(folder)
    path = folder / f"{name}-{first_index:07d}-{uuid.uuid4().hex[:8]}.parquet"
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def find_parts(folder: Path, wanted: Mapping[str, Any]) -> list[Path]:
    """The parts written under these settings; of each file only the end is read.

    Raises:
        RunFolderError: as `read_parts` does.
    """
    return list(_each_part(folder, wanted, lambda file: True))


def find_counters(folder: Path, wanted: Mapping[str, Any]) -> set[str]:
    """What computed the parts under these settings, in words; older parts do not say.

    Raises:
        RunFolderError: as `read_parts` does.
    """

    def read(file: pq.ParquetFile) -> set[str]:
        words = json.loads((file.metadata.metadata or {}).get(_COUNTERS_KEY, b"[]"))
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("it does not say in words what counted")
        return set(words)

    return set[str]().union(*_each_part(folder, wanted, read).values())


def find_settings(folder: Path) -> list[dict[str, Any]]:
    """The different settings that the parts of a folder were written under, in a fixed order.

    Raises:
        RunFolderError: for a part that is damaged.
    """
    found = {}
    for path in sorted(folder.glob("[!.]*.parquet")):
        with _sentences(path), pq.ParquetFile(path) as file:
            settings = _settings(file)
            found[json.dumps(settings, sort_keys=True)] = settings
    return [found[key] for key in sorted(found)]


def count_numbers(folder: Path) -> int:
    """How many numbers the parts of a folder say they hold; of each file only the end is read.

    Raises:
        RunFolderError: for a part that is damaged.
    """
    total = 0
    for path in sorted(folder.glob("[!.]*.parquet")):
        with _sentences(path), pq.ParquetFile(path) as file:
            row = sum(_width_and_kind(field.type)[0] for field in file.schema_arrow)
            total += row * file.metadata.num_rows
    return total


def read_parts(
    folder: Path,
    wanted: Mapping[str, Any],
    widths: Mapping[str, int],
    most_rows: int | None,
    decode: Callable[[dict[str, NDArray[Any]]], Rows],
) -> dict[Path, Rows]:
    """The parts written under these settings, by path.

    A part says how large it is before it is read, and is not read if that is more than it can be.

    Args:
        folder: where.
        wanted: settings; parts written under other ones are passed over.
        widths: the most numbers that a row has in each column.
        most_rows: the most rows a part can have; None where that is not known.
        decode: from columns to rows; raises `InputError` or `KeyError` for rows that cannot be.

    Raises:
        RunFolderError: for a part that is damaged, or of another classifier.
    """

    def read(file: pq.ParquetFile) -> Rows:
        _check_size(file, widths, most_rows)
        table = file.read()
        return decode({name: _array(table[name]) for name in table.column_names})

    return _each_part(folder, wanted, read)


def _each_part(
    folder: Path, wanted: Mapping[str, Any], read: Callable[[pq.ParquetFile], Rows]
) -> dict[Path, Rows]:
    wanted = json.loads(json.dumps(wanted))  # tuples become lists, as in the file
    parts: dict[Path, Rows | None] = {}
    before: list[Path] | None = None
    # Another process may merge parts while these are listed and read, so that one is gone and
    # another there: it is over when nothing has changed.
    while (paths := sorted(folder.glob("[!.]*.parquet"))) != before:
        parts = {
            path: parts[path] if path in parts else _part(path, wanted, read) for path in paths
        }
        before = paths
    return {path: rows for path, rows in parts.items() if rows is not None}


def _part(
    path: Path, wanted: Mapping[str, Any], read: Callable[[pq.ParquetFile], Rows]
) -> Rows | None:
    """What a part holds; None if it was written under other settings, or has just been merged."""
    rows, fingerprint = None, wanted["fingerprint"]
    with _sentences(path):
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            found = _settings(file)
            fingerprint = found["fingerprint"]
            if found == wanted:
                rows = read(file)
    if fingerprint != wanted["fingerprint"]:
        raise RunFolderError(
            f"the file {path} was made with another model (fingerprint {fingerprint}, this "
            f"run's is {wanted['fingerprint']}); remove it, unless it is the run's "
            "model.safetensors that was changed or damaged"
        )
    return rows


def _settings(file: pq.ParquetFile) -> dict[str, Any]:
    """What a part says it was written under."""
    found = json.loads((file.metadata.metadata or {})[_METADATA_KEY])
    found["fingerprint"]  # all parts have one
    settings: dict[str, Any] = found
    return settings


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """What goes wrong in reading a part becomes a sentence; nothing, if it has just been merged."""
    try:
        yield
    except InputError as error:
        raise RunFolderError(
            f"the file {path} holds numbers that cannot be: {error}{REMEDY}"
        ) from error
    except (
        OSError, pa.ArrowException, ValueError, KeyError, TypeError, ArithmeticError, RecursionError
    ) as error:  # fmt: skip
        if os.path.lexists(path):
            raise RunFolderError(
                f"the file {path} is truncated, damaged or not sparsecert's ({error}){REMEDY}"
            ) from error


def _check_size(file: pq.ParquetFile, widths: Mapping[str, int], most_rows: int | None) -> None:
    """Raise `InputError` for a part that says it is larger than it can be.

    Of its metadata only this is looked at: pyarrow ends the process where that of a column is
    damaged, and raises an error where it reads one.
    """
    metadata = file.metadata
    rows = sum(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    if rows != metadata.num_rows or (most_rows is not None and rows > most_rows):
        raise InputError(f"expected at most {most_rows} rows, one for each image, got {rows}")
    for field in file.schema_arrow:
        width, kind = _width_and_kind(field.type)
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not is_number or width > widths.get(field.name, 0):
            raise InputError(f"expected no column {field.name} of type {field.type}")


def _column(array: NDArray[Any]) -> Any:
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


def _width_and_kind(kind: pa.DataType) -> tuple[int, pa.DataType]:
    """How many numbers of which kind a row has."""
    is_list = pa.types.is_fixed_size_list(kind)
    return (kind.list_size, kind.value_type) if is_list else (1, kind)


def _array(column: Any) -> NDArray[Any]:
    if column.null_count:
        raise ValueError("it lacks numbers")
    if not pa.types.is_fixed_size_list(column.type):
        array: NDArray[Any] = column.to_numpy()
        return array
    values: NDArray[Any] = column.combine_chunks().flatten().to_numpy()
    return values.reshape(len(column), column.type.list_size)
