"""Columns of a table: as numbers, each on its own, and which of them are one feature."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError


@dataclass(frozen=True)
class TableColumns:
    """How the columns of a table become numbers, each column on its own.

    A number stays as it is. A category becomes one number for each category that was seen in
    training: 1 for its own, 0 for the others. A missing value, or a category that was not seen,
    becomes NaN in all of them. So what is made of one column is a function of that column.

    Attributes:
        categories: for each column the place of each of its categories; None where it holds
            numbers.
    """

    categories: tuple[Mapping[Any, int] | None, ...]

    @classmethod
    def learn(cls, table: Any) -> TableColumns:
        """Read categories off a training table.

        Args:
            table: a pandas DataFrame, whose columns of type category, object or string hold
                categories, up to objects that are all numbers; or an array of numbers.

        Raises:
            InputError: for columns of neither numbers nor categories, such as dates.
        """
        if not is_table(table):
            return cls((None,) * table.shape[1])
        return cls(tuple(_categories(table.iloc[:, j]) for j in range(table.shape[1])))

    @property
    def hold_categories(self) -> bool:
        """Whether any does, so that only a DataFrame will do."""
        return any(known is not None for known in self.categories)

    @property
    def source(self) -> NDArray[np.int64]:
        """`(numbers,)` which column each number comes from."""
        return np.repeat(np.arange(len(self.categories)), self._widths)

    def encode(self, table: Any) -> NDArray[np.floating[Any]]:
        """`(rows, numbers)` of a DataFrame.

        Raises:
            InputError: for columns that hold no numbers where they did in training.
        """
        parts = [np.empty((len(table), 0))]
        for j, known in enumerate(self.categories):
            column = table.iloc[:, j]
            parts.append(_numbers(column) if known is None else _indicators(column, known))
        return np.concatenate(parts, axis=1)

    @property
    def _widths(self) -> list[int]:
        # A column without any category still is a feature, always missing.
        return [1 if known is None else max(1, len(known)) for known in self.categories]


def is_table(x: Any) -> bool:
    """Whether this is a pandas DataFrame, told without importing pandas."""
    return all(hasattr(x, name) for name in ("iloc", "columns", "dtypes"))


def number_groups(groups: Any, num_columns: int) -> NDArray[np.int64]:
    """`(columns,)` the feature that each column belongs to, from 0 in order of appearance.

    Args:
        groups: an integer or a name for each column; None where each is a feature of its own.
        num_columns: of the table.

    Raises:
        InputError: for anything else.
    """
    if groups is None:
        return np.arange(num_columns)
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise InputError(
            f"expected groups as a list with a number or a name for each column, got {groups!r}"
        )
    labels = list(groups)
    if len(labels) != num_columns:
        raise InputError(
            f"expected groups to have a number or a name for each of {num_columns} columns, "
            f"got {len(labels)}"
        )
    for label in labels:
        if not isinstance(label, (str, numbers.Integral)):
            raise InputError(f"expected groups as integers or names, got {label!r}")
    places: dict[Any, int] = {}
    return np.array([places.setdefault(label, len(places)) for label in labels], dtype=np.int64)


def number_columns(chosen: Any, names: Sequence[Any]) -> NDArray[np.int64]:
    """The numbers of some columns.

    Args:
        chosen: names or numbers, from 0; None for none.
        names: of all columns.

    Raises:
        InputError: for a name or a number that no column has, or anything else.
    """
    if chosen is None:
        return np.empty(0, dtype=np.int64)
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise InputError(f"expected protected as a list of columns, got {chosen!r}")
    places: dict[Any, int] = {number: number for number in range(len(names))}
    places |= {name: number for number, name in enumerate(names)}
    columns = list(chosen)
    for column in columns:
        if not isinstance(column, (str, numbers.Integral)) or column not in places:
            raise InputError(
                f"expected protected columns by their names, or numbers from 0 to "
                f"{len(names) - 1}, got {column!r}"
            )
    return np.array([places[column] for column in columns], dtype=np.int64)


def _categories(column: Any) -> dict[Any, int] | None:
    """The places of a column's categories, in an order that does not depend on the rows'."""
    kind = column.infer_objects().dtype.kind
    if kind in "biuf":
        return None
    if kind not in "OUS":
        raise InputError(
            f"expected columns of numbers or of categories, got column {column.name!r} of type "
            f"{column.dtype}; turn it into numbers first, for example into days"
        )
    known = column[column.notna()].astype(object).tolist()
    try:
        ordered = sorted(set(known), key=lambda value: (type(value).__name__, str(value)))
    except TypeError as error:
        raise InputError(
            f"expected categories such as strings or numbers in column {column.name!r}: {error}"
        ) from error
    return {value: place for place, value in enumerate(ordered)}


def _numbers(column: Any) -> NDArray[np.float64]:
    """`(rows, 1)` numbers, NaN where missing."""
    try:
        values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expected numbers in column {column.name!r}, as in fit, got type {column.dtype}: "
            f"{error}"
        ) from error
    return values[:, None]


def _indicators(column: Any, known: Mapping[Any, int]) -> NDArray[np.float64]:
    """`(rows, categories)`: 1 at the place of each row's category, NaN where it has none."""
    try:
        places = [known.get(value, -1) for value in column.astype(object).tolist()]
    except TypeError as error:
        raise InputError(
            f"expected categories such as strings or numbers in column {column.name!r}: {error}"
        ) from error
    place = np.array(places, dtype=np.int64)[:, None]
    return np.where(place < 0, np.nan, place == np.arange(max(1, len(known))))
