"""Ballots counted look by look, each input until its own stop.

Inputs are counted side by side, so that passes through the network stay full: those that have
stopped drop out, and the others go on to the next look. An input's ballots are the first of its
stream, the same as a fixed number of samples would begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.certification import Certification, Prediction
from sparsecert.errors import InputError
from sparsecert.sequential_certification import (
    Stop,
    certified_by_look,
    certify_looks,
    named_by_look,
    predict_looks,
    stop,
)
from sparsecert.smoothing.shortlist import shortlist
from sparsecert.streams import Stage
from sparsecert.theory.sequential import look_schedule
from sparsecert.votes.look_tally import MOST_FOLLOWED_AT_LOOKS, LookTally
from sparsecert.votes.tracked_classes import take_counts

if TYPE_CHECKING:
    from sparsecert.designs.design import Design
    from sparsecert.smoothing.sampled import SmoothedClassifier

# Where counting stops: asked with what has been counted of some inputs, and which rows they are.
StopRule = Callable[[LookTally, NDArray[np.int64]], Stop]

_MASKS_AT_ONCE = 2**24  # entries of the masks that are drawn only to be passed over


def certify_sequentially(
    smoothed: SmoothedClassifier,
    x: Tensor,
    label: NDArray[np.int64],
    num_samples: int,
    alpha: float,
    seed: int,
    rule: str,
    indices: Sequence[int] | NDArray[np.int64] | None,
    followed: NDArray[np.int64] | None,
) -> Certification:
    """Certify labels with ballots up to each input's stop; see `SmoothedClassifier.certify`.

    `followed` is as of `tally_looks`; the other arguments are those of `certify`.
    """
    ablation = smoothed.ablation

    def settled(tally: LookTally, rows: NDArray[np.int64]) -> Stop:
        return stop(tally, certified_by_look(tally, label[rows], ablation, alpha, rule))

    tally = tally_looks(
        smoothed, x, num_samples, Stage.ESTIMATION, settled, seed, indices, followed=followed
    )
    return certify_looks(tally, label, ablation, alpha, rule)


def predict_sequentially(
    smoothed: SmoothedClassifier,
    x: Tensor,
    num_samples: int,
    alpha: float,
    seed: int,
    rule: str,
    indices: Sequence[int] | NDArray[np.int64] | None,
) -> Prediction:
    """Predict with ballots up to each input's stop; see `SmoothedClassifier.predict`."""

    def settled(tally: LookTally, rows: NDArray[np.int64]) -> Stop:
        return stop(tally, named_by_look(tally, alpha, rule))

    tally = tally_looks(smoothed, x, num_samples, Stage.PREDICTION, settled, seed, indices)
    return predict_looks(tally, alpha, rule)


def tally_looks(
    smoothed: SmoothedClassifier,
    x: Tensor,
    num_samples: int,
    stage: Stage,
    stops: StopRule | None = None,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    before: LookTally | None = None,
    followed: NDArray[np.int64] | None = None,
) -> LookTally:
    """Count ballots at each look, until a stop.

    Args:
        smoothed: the smoothed classifier.
        x: inputs.
        num_samples: n, the budget: ballots per input at most.
        stage: what the ablations are for.
        stops: decides after each look which inputs have been counted far enough; none before the
            budget is spent if it is left out.
        seed: names the random streams, together with `stage` and `indices`.
        indices: each input's index in its data set; 0, 1, ... by default.
        before: what has been counted already, under the same names and budget; it is gone on with.
        followed: `(batch, F)` the shortlists of the inputs, if they are known; the first classes
            of each are followed, by inputs of which nothing has been counted before.

    Raises:
        InputError: as `SmoothedClassifier.tally`.
    """
    looks = look_schedule(num_samples)
    generators = smoothed.streams(x, stage, seed, indices)
    if before is None:
        before = LookTally.empty(num_samples, len(x), smoothed.num_classes)
    if before.budget != num_samples or len(before) != len(x):
        raise InputError(
            f"expected earlier counts of {len(x)} inputs with a budget of {num_samples}, got "
            f"{len(before)} with {before.budget}"
        )
    reached = before.num_reached
    names = np.arange(len(x)) if indices is None else np.asarray(indices)
    lists = _followed(smoothed, x, seed, names, before, followed)
    first_choice = before.first_choice.copy()
    pairs = None if before.head_to_head is None else before.head_to_head.copy()

    def so_far(rows: NDArray[np.int64]) -> LookTally:
        return LookTally(num_samples, *take_counts((first_choice, pairs, lists), rows))

    def unfinished(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows if stops is None else rows[~stops(so_far(rows), rows).finished]

    waiting = np.flatnonzero(reached == 0)
    if reached.any():
        begun = unfinished(np.flatnonzero(reached))
        for row in begun:
            _pass_over(smoothed.ablation, generators[row], int(looks[reached[row] - 1]))
        waiting = np.union1d(waiting, begun)
    for number, ballots in enumerate(np.diff(looks, prepend=0)):
        rows = waiting[reached[waiting] == number]
        if not len(rows):
            continue
        more = smoothed.count(
            x[rows],
            [generators[row] for row in rows],
            int(ballots),
            None if lists is None else lists[rows],
        )
        for counts, new in ((first_choice, more.first_choice), (pairs, more.head_to_head)):
            if counts is not None and new is not None:
                counts[rows, number] = new + (counts[rows, number - 1] if number else 0)
        reached[rows] = number + 1
        ahead = np.setdiff1d(waiting, rows)
        waiting = np.union1d(ahead, unfinished(rows)) if number + 1 < len(looks) else ahead
    return so_far(np.arange(len(x)))


def _followed(
    smoothed: SmoothedClassifier,
    x: Tensor,
    seed: int,
    names: NDArray[np.int64],
    before: LookTally,
    known: NDArray[np.int64] | None,
) -> NDArray[np.int64] | None:
    """The classes that each input follows: as before, or the first of its shortlist."""
    lists, new = before.followed, np.flatnonzero(before.num_reached == 0)
    if lists is None or not len(new):
        return lists
    lists = lists.copy()
    chosen = known[new] if known is not None else shortlist(smoothed, x[new], seed, names[new])
    if chosen is not None:
        size = min(MOST_FOLLOWED_AT_LOOKS, chosen.shape[1], lists.shape[1])
        lists[new, :size] = chosen[:, :size]
    return lists


def _pass_over(ablation: Design, generator: np.random.Generator, ballots: int) -> None:
    """Draw the ablations of ballots that have been counted, so that the next ones are new."""
    at_once = max(1, _MASKS_AT_ONCE // ablation.num_features)
    for start in range(0, ballots, at_once):
        ablation.draw(generator, min(at_once, ballots - start))
