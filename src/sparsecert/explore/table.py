"""Rows of a table as people read them: values in the units of the data, by name of the column."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from sparsecert.data import FeatureRange
from sparsecert.errors import InputError

_DIGITS = 6  # of a shown value


class Table:
    """Between shares in [0, 1], which a network takes, and values as they were measured.

    Args:
        ends: how features were scaled.
    """

    def __init__(self, ends: FeatureRange) -> None:
        self._low, self._high = ends.low, ends.high
        self.names = ends.names or tuple(f"column {c}" for c in range(len(ends.low)))

    def values(self, row: Tensor) -> list[float | None]:
        """Of each column; None where it is missing."""
        return [
            None if math.isnan(share) else float(f"{low + share * (high - low):.{_DIGITS}g}")
            for share, low, high in zip(row.tolist(), self._low, self._high, strict=True)
        ]

    def shares(self, column: int, values: Sequence[object]) -> list[float]:
        """What a network is shown for the value of a column; NaN for a missing one.

        As in training, what is beyond the range of the training data is its nearest end.

        Args:
            column: its number.
            values: its one value, None where it is missing.

        Raises:
            InputError: for a column that is not there, or what is no finite number.
        """
        if not 0 <= column < len(self.names) or len(values) != 1:
            raise InputError(
                f"expected one value for a column from 0 to {len(self.names) - 1}, got "
                f"{len(values)} for {column}"
            )
        (value,) = values
        if value is None:
            return [math.nan]
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"expected a number for {self.names[column]}, got {value!r}")
        low, high = self._low[column], self._high[column]
        return [min(max((value - low) / (high - low or 1), 0.0), 1.0)]

    def ranges(self) -> list[str]:
        """In words: the values of each column that training data had."""
        ends = zip(self._low, self._high, strict=True)
        return [f"{low:.{_DIGITS}g} to {high:.{_DIGITS}g}" for low, high in ends]
