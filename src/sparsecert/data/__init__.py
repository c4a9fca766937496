"""Data sets: by embedded name, by Hub name, or from a local path."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsecert.data.dataset import Dataset, FeatureRange
from sparsecert.data.embedded import EMBEDDED
from sparsecert.data.hub import DATA_VARIABLE, load_hub, load_path
from sparsecert.data.npz import load_npz
from sparsecert.errors import InputError, as_integer

__all__ = [
    "DATA_VARIABLE",
    "Dataset",
    "FeatureRange",
    "check_limit",
    "evenly_spread",
    "lasting_name",
    "load",
]


def load(name: str, split: str, feature_range: FeatureRange | None = None) -> Dataset:
    """Load a split of a data set.

    Args:
        name: `digits` or `breast-cancer` (inside scikit-learn); a folder or file that Hugging
            Face `datasets` can load (Parquet folder, image folder), or an `.npz`; a folder's name
            inside `$SPARSECERT_DATA`; or a Hub name such as `mnist` or `user/name`.
        split: "train" or "test"; a data set without a test split gives its validation split.

        feature_range: scale feature vectors by this range, as a model's training did, instead of
            the data set's own.

    Raises:
        InputError: if it is not found, or is not labelled data in a known shape.
    """
    if split not in ("train", "test"):
        raise InputError(f"expected split to be 'train' or 'test', got {split!r}")
    if name in EMBEDDED:
        return EMBEDDED[name](name, split, feature_range)
    path = _local_path(name)
    if path is None:
        return load_hub(name, split, feature_range)
    if path.suffix == ".npz":
        return load_npz(name, path, split, feature_range)
    return load_path(name, path, split, feature_range)


def check_limit(limit: int | None) -> None:
    """Raise `InputError` for a number of inputs under 1."""
    if limit is not None and as_integer(limit, "limit") < 1:
        raise InputError(f"expected limit to be at least 1, got {limit}")


def evenly_spread(size: int, limit: int | None) -> NDArray[np.int64]:
    """`limit` indices spread evenly over 0..size-1; all of them without a limit."""
    check_limit(limit)
    if limit is None or limit >= size:
        return np.arange(size)
    return np.arange(limit) * size // limit


def lasting_name(name: str) -> str:
    """The name by which a later command, started elsewhere, finds the same data set."""
    path = Path(name).expanduser()
    if name in EMBEDDED:
        return name
    return str(path.resolve()) if path.exists() and _local_path(name) == path else name


def _local_path(name: str) -> Path | None:
    root = os.environ.get(DATA_VARIABLE)
    candidates = [Path(root) / name] if root else []
    candidates.append(Path(name).expanduser())
    return next((path for path in candidates if path.exists()), None)
