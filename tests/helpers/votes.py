"""Votes drawn, counted, stored and compared, whether at one look or at several.

Tests use these functions and not the modules behind them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

import sparsecert as sc
from sparsecert.streams import Stage
from sparsecert.theory.schedule import growing_looks
from sparsecert.votes.ballots import BallotStore
from sparsecert.votes.store import TallySettings, TallyStore, VoteSettings
from tests.helpers.commands import parts

SAMPLINGS = ["fixed", "sequential"]
RULES = ["majority", "margin", "pairwise"]


def counted(
    sampling: str, classifier: sc.SmoothedClassifier, x: Any, n: int, **options: Any
) -> sc.Tally:
    """The votes of n ballots for estimation, at all looks."""
    return classifier.tally(x, n, Stage.ESTIMATION, sampling=sampling, **{"seed": 0} | options)


def looks_of(
    rng: np.random.Generator,
    shares: ArrayLike,
    rankings: ArrayLike,
    n: int,
    images: int,
) -> sc.Tally:
    """Counts of images whose ballots are rankings with these probabilities."""
    looks = growing_looks(n)
    draws = [rng.multinomial(m, np.asarray(shares), images) for m in np.diff(looks, prepend=0)]
    drawn = np.cumsum(np.stack(draws, axis=1), axis=1)
    place = np.argsort(np.asarray(rankings), axis=1)
    above = (place[:, :, None] < place[:, None, :]).astype(np.int64)
    pairs = np.einsum("iln,ncj->ilcj", drawn, above)
    return sc.Tally(drawn @ (place == 0).astype(np.int64), pairs, looks=looks)


def at(tally: sc.Tally, look: int) -> sc.Tally:
    """The ballots up to a look, as if their number had been fixed."""
    pairs = tally.head_to_head
    rankings = None if pairs is None else pairs[:, look]
    return sc.Tally(tally.first_choice[:, look], rankings, tally.tracked_classes)


def all_looks_at(tally: sc.Tally) -> sc.Tally:
    """All ballots of each input, as if their number had been fixed."""
    return at(tally, -1)


def stopped_after(tally: sc.Tally, looks: int) -> sc.Tally:
    """The tally had counting stopped after so many looks."""
    return sc.Tally(*tally.until(np.full(len(tally), looks - 1)).counts, tally.looks)


def pairs_of(tally: sc.Tally) -> NDArray[np.int64]:
    """Head-to-head counts, which must be there."""
    assert tally.head_to_head is not None
    return tally.head_to_head


def assert_same_votes(found: Any, expected: Any) -> None:
    """The same counts, of the same classes, where there are any."""
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


def store_for(kind: str, folder: Path, num_classes: int, n: int) -> tuple[Any, Any]:
    """Where n ballots for estimation are kept, and the settings that name them.

    They are of a fixed number, counted sequentially, or of the sets of a family.
    """
    if kind == "family":
        return BallotStore(folder, n, num_classes), VoteSettings("model", "data")
    settings = ("model", "data", 0, "estimation", n)
    if kind == "fixed":
        return TallyStore(folder, num_classes), TallySettings(*settings)
    return TallyStore(folder, num_classes), TallySettings(*settings, growing_looks(n))


def seconds_taken(folder: Path, pattern: str) -> dict[int, float]:
    """Of each image with votes in these parts, how long they took: nobody takes as long twice."""
    tables = [pq.read_table(path, columns=["index", "seconds"]) for path in parts(folder, pattern)]
    return {row["index"]: row["seconds"] for table in tables for row in table.to_pylist()}


def looks_reached(folder: Path, budget: int, stage: str = "estimation") -> dict[int, int]:
    """Of each image with sequential votes, how many looks have been reached."""
    reached: dict[int, int] = {}
    for path in parts(folder, f"{stage}-sequential-*.parquet"):
        table, num_looks = pq.read_table(path), len(growing_looks(budget))
        counts = np.stack(table["first_choice"].to_numpy()).reshape(len(table), num_looks, -1)
        looks = (counts.sum(axis=2) > 0).sum(axis=1).tolist()
        for index, count in zip(table["index"].to_pylist(), looks, strict=True):
            reached[index] = max(count, reached.get(index, 0))
    return reached
