"""Votes drawn, shortened, compared, and read from run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from sparsecert.theory.sequential import look_schedule
from tests.helpers.commands import parts


def seconds_taken(folder: Path, pattern: str) -> dict[int, float]:
    """Of each image with votes in these parts, how long they took: nobody takes as long twice."""
    tables = [pq.read_table(path, columns=["index", "seconds"]) for path in parts(folder, pattern)]
    return {row["index"]: row["seconds"] for table in tables for row in table.to_pylist()}


def looks_reached(folder: Path, budget: int, stage: str = "estimation") -> dict[int, int]:
    """Of each image with sequential votes, how many looks have been reached."""
    reached: dict[int, int] = {}
    for path in parts(folder, f"{stage}-sequential-*.parquet"):
        table, num_looks = pq.read_table(path), len(look_schedule(budget))
        counts = np.stack(table["first_choice"].to_numpy()).reshape(len(table), num_looks, -1)
        looks = (counts.sum(axis=2) > 0).sum(axis=1).tolist()
        for index, count in zip(table["index"].to_pylist(), looks, strict=True):
            reached[index] = max(count, reached.get(index, 0))
    return reached


def assert_same_votes(found: Any, expected: Any) -> None:
    """The same counts, of the same classes, where there are any."""
    for name in ("first_choice", "head_to_head", "followed"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
