"""Submissions as others would have changed them before they hand them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.helpers.commands import parts, read_json, run

Tamper = Callable[[Path], None]

# Of each kind that is submitted, how votes are counted, and the records.
WORDS: dict[str, list[object]] = {
    "fixed": ["--num-selection", 40, "--num-samples", 300],
    "sequential": ["--num-selection", 40, "--num-samples", 400, "--sampling", "sequential"],
    "family": [],
}
RECORDS: dict[str, dict[str, list[object]]] = {
    "fixed": {
        "pairwise": ["--rule", "pairwise"],
        "majority": ["--rule", "majority", "--limit", 20],
        "top": ["--rule", "pairwise", "--top", 2],
    },
    "sequential": {"pairwise": ["--rule", "pairwise"]},
    "family": {
        "pairwise": ["--rule", "pairwise"],
        "abstaining": ["--rule", "run-off", "--abstain", 0.1],
        "patches": ["--rule", "pairwise", "--threat", "patch:1x1,2x2"],
    },
}


def submit(folder: Path, kind: str, place: Path) -> Path:
    """Certify in each way that there is for this kind, and write the submission."""
    records = []
    for name, words in RECORDS[kind].items():
        records.append(place / f"{name}.json")
        limit = [] if "--limit" in words else ["--limit", 40]
        run("certify", folder, *WORDS[kind], *words, *limit, "--record", records[-1])
    run("submission", folder, *records, "--out", place / "submission")
    return place / "submission"


def edit_json(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change what a JSON file holds."""
    values = read_json(path)
    edit(values)
    path.write_text(json.dumps(values))


def in_record(name: str = "pairwise", **values: Any) -> Tamper:
    """Other values in a record; None removes one."""

    def edit(record: dict[str, Any]) -> None:
        for key, value in values.items():
            record[key] = value
            if value is None:
                del record[key]

    return lambda path: edit_json(path / "records" / f"{name}.json", edit)


def in_config(**values: Any) -> Tamper:
    """Other values in the configuration."""
    return lambda path: edit_json(path / "config.json", lambda config: config.update(values))


def in_labels(edit: Callable[[dict[str, Any]], Any]) -> Tamper:
    """Other labels."""
    return lambda path: edit_json(path / "labels.json", edit)


def in_settings(pattern: str = "estimation-*", **values: Any) -> Tamper:
    """Votes that say they were made in another way; None leaves something unsaid."""

    def tamper(path: Path) -> None:
        for part in parts(path, pattern):
            table = pq.read_table(part)
            metadata = dict(table.schema.metadata)
            settings = json.loads(metadata[b"sparsecert"]) | values
            said = {key: value for key, value in settings.items() if value is not None}
            metadata[b"sparsecert"] = json.dumps(said).encode()
            pq.write_table(table.replace_schema_metadata(metadata), part)

    return tamper


def in_column(
    name: str, edit: Callable[[NDArray[Any]], Any], pattern: str = "estimation-*"
) -> Tamper:
    """Other numbers in a column of the votes, edited in place as `(images, numbers)`."""

    def tamper(path: Path) -> None:
        (part,) = parts(path, pattern)
        table = pq.read_table(part)
        column = table[name].combine_chunks()
        is_list = pa.types.is_fixed_size_list(column.type)
        flat = (column.flatten() if is_list else column).to_numpy().copy()
        numbers = flat.reshape(len(table), -1)
        edit(numbers)
        array = pa.array(numbers.ravel())
        if is_list:
            array = pa.FixedSizeListArray.from_arrays(array, numbers.shape[1])
        at = table.column_names.index(name)
        pq.write_table(table.set_column(at, name, array), part)

    return tamper


def each(*tampers: Tamper) -> Tamper:
    """One after the other."""

    def tamper(path: Path) -> None:
        for single in tampers:
            single(path)

    return tamper


def without(pattern: str) -> Tamper:
    """Files that are missing."""

    def tamper(path: Path) -> None:
        for found in path.glob(pattern):
            found.unlink()

    return tamper


def in_rows(
    choose: Callable[[pa.Table], pa.Table], pattern: str = "estimation-*", again: bool = False
) -> Tamper:
    """Other rows of the votes, in place of a part or in one more."""

    def tamper(path: Path) -> None:
        (part,) = parts(path, pattern)
        rows = choose(pq.read_table(part))
        pq.write_table(rows, part.with_name(part.name.replace("-", "-x", 1)) if again else part)

    return tamper
