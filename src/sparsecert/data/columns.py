"""Which columns of a table are features: all of numbers, but for labels and for pandas' index."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sparsecert.errors import InputError

# As pandas names the index in Parquet, and `datasets` the first column of a CSV without a name.
_INDEX = re.compile(r"__index_level_\d+__")
_UNNAMED = "Unnamed: 0"
_NUMBERS = ("int", "uint", "float", "bool")
_MOST_SHOWN = 8


class UnusedColumnsWarning(UserWarning):
    """A table has columns that are not used."""


def feature_columns(
    name: str,
    features: Any,
    label: str,
    index: Collection[str] = (),
    known: Sequence[str] | None = None,
) -> list[str]:
    """The columns that are features, in their order.

    Args:
        name: of the data set, for messages.
        features: the table's, as `datasets` has them: types by column.
        label: the column of labels.
        index: columns that are pandas' index.
        known: the features that a model was trained on, whatever other columns there are.

    Raises:
        InputError: if there is no such column, or one of the known is not there.

    Warns:
        UnusedColumnsWarning: of the columns that are not used.
    """
    used, unused = [], []
    for place, (column, kind) in enumerate(features.items()):
        is_index = column in index or bool(_INDEX.fullmatch(column))
        if column == label:
            continue
        if is_index or (column == _UNNAMED and place == 0):
            unused.append(f"{column} (index)")
        elif getattr(kind, "dtype", "").startswith(_NUMBERS) and not hasattr(kind, "names"):
            used.append(column)
        else:
            unused.append(f"{column} ({getattr(kind, 'dtype', type(kind).__name__)})")
    if known is not None:
        if missing := [column for column in known if column not in used]:
            raise InputError(
                f"expected {name!r} to have the features that the model was trained on; it has no "
                f"numbers called {shortened(missing)}"
            )
        return list(known)
    if not used:
        raise InputError(f"data set {name!r} has neither an image column nor numeric columns")
    if unused:
        warnings.warn(
            f"columns of {name} that are not used: {shortened(unused)}; the {len(used)} features "
            f"are {shortened(used)}. Text and categories have to be turned into numbers first",
            UnusedColumnsWarning,
            stacklevel=2,
        )
    return used


def index_columns(path: Path) -> set[str]:
    """Columns of a Parquet file that pandas says are the index; none in other files."""
    if path.suffix.lower() != ".parquet":
        return set()
    told = (pq.read_schema(path).pandas_metadata or {}).get("index_columns", ())
    return {column for column in told if isinstance(column, str)}


def shortened(names: Sequence[str]) -> str:
    """A list of names in words, without the middle of a long one."""
    if len(names) <= _MOST_SHOWN:
        return ", ".join(names)
    return ", ".join([*names[: _MOST_SHOWN - 2], "...", names[-1]])
