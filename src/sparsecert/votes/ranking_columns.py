"""Head-to-head counts as columns of a Parquet part, at one look or at several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ranking_columns(
    pairs: NDArray[np.int64] | None, tracked: NDArray[np.int64] | None
) -> dict[str, NDArray[Any]]:
    """The columns; none where rankings were not recorded.

    Args:
        pairs: `(batch, ..., T, classes)` counts, as `Tally` holds them.
        tracked: `(batch, T)` the classes they are of; None for all in order.
    """
    if pairs is None:
        return {}
    rows = len(pairs)
    if tracked is not None:
        counts = pairs.reshape(rows, -1).astype(np.int32)
        return {"followed": tracked.astype(np.int32), "head_to_head": counts}
    # One half tells the other: [c, j] + [j, c] is the number of ballots.
    smaller, larger = np.triu_indices(pairs.shape[-1], k=1)
    return {"head_to_head": pairs[..., smaller, larger].reshape(rows, -1)}


def read_rankings(
    columns: Mapping[str, NDArray[Any]], totals: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """The inverse of `ranking_columns`.

    Args:
        columns: of a part.
        totals: `(batch, ...)` ballots, at each look if there are several.
        num_classes: number of classes.
    """
    if "head_to_head" not in columns:
        return None, None
    if "followed" in columns:
        tracked = columns["followed"].astype(np.int64)
        shape = (*totals.shape, tracked.shape[1], num_classes)
        return columns["head_to_head"].astype(np.int64).reshape(shape), tracked
    smaller, larger = np.triu_indices(num_classes, k=1)
    wins = columns["head_to_head"].reshape(*totals.shape, len(smaller))
    pairs = np.zeros((*totals.shape, num_classes, num_classes), dtype=np.int64)
    pairs[..., smaller, larger] = wins
    pairs[..., larger, smaller] = totals[..., None] - wins
    return pairs, None
