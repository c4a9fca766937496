"""Data sets: by embedded name, by Hub name, or from a local path."""

from __future__ import annotations

import os
from pathlib import Path

from sparsecert.data.choice import (
    Shard,
    check_limit,
    evenly_spread,
    held_out,
    representatives,
)
from sparsecert.data.columns import UnusedColumnsWarning
from sparsecert.data.dataset import Dataset, FeatureRange, MissingSplitError
from sparsecert.data.embedded import EMBEDDED
from sparsecert.data.hub import DATA_VARIABLE, load_hub, load_path
from sparsecert.data.new_inputs import new_inputs
from sparsecert.data.npz import load_npz
from sparsecert.errors import InputError

__all__ = [
    "DATA_VARIABLE",
    "Dataset",
    "FeatureRange",
    "MissingSplitError",
    "Shard",
    "UnusedColumnsWarning",
    "check_limit",
    "evenly_spread",
    "held_out",
    "is_at_hand",
    "lasting_name",
    "load",
    "new_inputs",
    "representatives",
]


def load(name: str, split: str, feature_range: FeatureRange | None = None) -> Dataset:
    """Load a split of a data set.

    Args:
        name: `digits` or `breast-cancer` (inside scikit-learn); a folder of Parquet or CSV files or
            of images, or an `.npz`; a folder's name inside `$SPARSECERT_DATA`; or a Hub name such
            as `mnist` or `user/name`.
        split: "train" or "test"; a data set without a test split gives its validation split.

        feature_range: scale feature vectors by this range, as a model's training did, instead of
            the data set's own, and only these features of a table.

    Raises:
        InputError: if it is not found, or is not labelled data in a known shape.

    Warns:
        UnusedColumnsWarning: of the columns of a table that are not used.
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


def is_at_hand(name: str) -> bool:
    """Whether a data set that others named is embedded, or in the user's own `$SPARSECERT_DATA`.

    No other path is looked at, and nothing on the Hub.
    """
    root = os.environ.get(DATA_VARIABLE)
    is_plain = Path(name).name == name and name.isprintable() and not name.startswith(".")
    return name in EMBEDDED or bool(root and is_plain and (Path(root) / name).exists())


def lasting_name(name: str) -> str:
    """The name by which a later command, started elsewhere, finds the same data set."""
    path = Path(name).expanduser()
    if name in EMBEDDED:
        return name
    return str(path.resolve()) if _local_path(name) == path else name


def _local_path(name: str) -> Path | None:
    root = os.environ.get(DATA_VARIABLE)
    candidates = [Path(root) / name] if root else []
    candidates.append(Path(name).expanduser())
    try:
        return next((path for path in candidates if path.exists()), None)
    except OSError as error:
        raise InputError(
            f"expected the name of a data set, got {name!r}: {error.strerror}"
        ) from None
