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
from sparsecert.smoothing.sequential import tally_looks
from sparsecert.streams import Stage
from sparsecert.theory.sequential import look_schedule
from sparsecert.votes.ballots import BallotStore
from sparsecert.votes.look_store import LookSettings, LookStore
from sparsecert.votes.store import VoteSettings
from sparsecert.votes.tally_store import TallySettings, TallyStore
from tests.helpers.commands import parts

SAMPLINGS = ["fixed", "sequential"]
RULES = ["majority", "margin", "pairwise"]
AnyTally = sc.Tally | sc.LookTally


def counted(
    sampling: str, classifier: sc.SmoothedClassifier, x: Any, n: int, **options: Any
) -> Any:
    """The votes of n ballots for estimation, at all looks."""
    if sampling == "fixed":
        return classifier.tally(x, n, Stage.ESTIMATION, **options)
    return tally_looks(classifier, x, n, Stage.ESTIMATION, **options)


def certify(tally: AnyTally, *arguments: Any, **options: Any) -> Any:
    """The certificate of whatever kind of tally."""
    rule = sc.certify_looks if isinstance(tally, sc.LookTally) else sc.certify_tally
    return rule(tally, *arguments, **options)  # type: ignore[arg-type]


def predict(tally: AnyTally, *arguments: Any) -> Any:
    """The classes named by whatever kind of tally."""
    rule = sc.predict_looks if isinstance(tally, sc.LookTally) else sc.predict_tally
    return rule(tally, *arguments)  # type: ignore[arg-type]


def looks_of(
    rng: np.random.Generator,
    shares: ArrayLike,
    rankings: ArrayLike,
    n: int,
    images: int,
) -> sc.LookTally:
    """Counts of images whose ballots are rankings with these probabilities."""
    draws = [
        rng.multinomial(m, np.asarray(shares), images) for m in np.diff(look_schedule(n), prepend=0)
    ]
    drawn = np.cumsum(np.stack(draws, axis=1), axis=1)
    place = np.argsort(np.asarray(rankings), axis=1)
    above = (place[:, :, None] < place[:, None, :]).astype(np.int64)
    return sc.LookTally(
        n, drawn @ (place == 0).astype(np.int64), np.einsum("iln,ncj->ilcj", drawn, above)
    )


def all_looks_at(tally: sc.LookTally) -> sc.Tally:
    """All ballots of each input, as if their number had been fixed."""
    return tally.at(np.full(len(tally), len(tally.looks) - 1))


def stopped_after(tally: sc.LookTally, looks: int) -> sc.LookTally:
    """The tally had counting stopped after so many looks."""
    counts = [None if c is None else c.copy() for c in (tally.first_choice, tally.head_to_head)]
    for some in counts:
        if some is not None:
            some[:, looks:] = 0
    return sc.LookTally(tally.budget, counts[0], counts[1], tally.followed)  # type: ignore[arg-type]


def pairs_of(tally: AnyTally) -> NDArray[np.int64]:
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
    looks = tuple(map(int, look_schedule(n)))
    return LookStore(folder, num_classes), LookSettings(*settings, looks)


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
