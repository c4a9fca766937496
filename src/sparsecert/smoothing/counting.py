"""Counting ballots: passes of ablated inputs through the network, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.certification import Stop
from sparsecert.designs.design import Design
from sparsecert.smoothing.parallel import run_parallel
from sparsecert.smoothing.voter import Voter, Worker
from sparsecert.streams import Stage, stream
from sparsecert.votes.rankings import count_pairs, count_tracked, first_choices
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import check_tracked, track_nothing, tracks_few

# Where counting stops: asked with what has been counted of some inputs, and which rows they are.
StopRule = Callable[[Tally, NDArray[np.int64]], Stop]

_MASKS_AT_ONCE = 2**24  # entries of the masks that are drawn only to be passed over
_Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def count_ballots(
    voter: Voter,
    design: Design,
    x: Tensor,
    generators: list[np.random.Generator],
    num_samples: int,
    tracked: NDArray[np.int64] | None = None,
) -> Tally:
    """Count the next ballots of each input's stream.

    Args:
        voter: casts them.
        design: draws what each ballot is shown.
        x: inputs.
        generators: one for each input.
        num_samples: ballots per input.
        tracked: `(batch, T)` classes whose head-to-head counts are recorded; by default those of
            all classes up to `MOST_CLASSES_HEAD_TO_HEAD`, and of none beyond.

    Returns:
        Counts of one look.
    """
    if tracked is None and tracks_few(voter.num_classes):
        tracked = track_nothing(len(x))
    if tracked is not None:
        check_tracked(tracked, len(x), voter.num_classes)
    counts, pairs = _no_counts(len(x), voter.num_classes, tracked)
    if generators:
        x = voter.on_device(x)

        def few(number: int) -> tuple[Tensor, Tensor]:
            masks = design.draw(stream(0, Stage.PROBE, 0), number)
            return x[torch.arange(number) % len(x)], torch.from_numpy(masks)

        with voter.evaluating():
            voter.try_out(few, x)
            workers = voter.workers(x, len(x) * num_samples)
            passes = _passes(design, generators, num_samples, voter.pass_size(x), len(workers))
            count = [partial(_count, voter, x, tracked, worker) for worker in workers]
            for first, rankings in run_parallel(passes, count):
                counts += first
                pairs += rankings
    if tracked is not None and not tracked.shape[1]:
        return Tally.trusted(counts, None, None, None)
    return Tally.trusted(counts, pairs, tracked, None)


def count_looks(
    voter: Voter,
    design: Design,
    x: Tensor,
    generators: list[np.random.Generator],
    before: Tally,
    tracked: NDArray[np.int64] | None,
    stops: StopRule | None,
) -> Tally:
    """Count from look to look, each input until its own stop.

    Inputs are counted side by side, so that passes through the network stay full: those that have
    stopped drop out, and the others go on to the next look.

    Args:
        voter: casts the ballots.
        design: draws what each ballot is shown.
        x: inputs.
        generators: one for each input, at the beginning of its stream.
        before: what has been counted already; it is gone on with.
        tracked: `(batch, T)` classes whose head-to-head counts are recorded; None for all.
        stops: decides after each look which inputs have been counted far enough; none before the
            last look if it is left out.
    """
    assert before.looks is not None
    looks, reached = before.looks, before.num_reached
    first_choice = before.first_choice.copy()
    pairs = None if before.head_to_head is None else before.head_to_head.copy()
    # Its arrays fill up.
    so_far = Tally.trusted(first_choice, pairs, None if pairs is None else tracked, looks)

    def unfinished(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows if stops is None else rows[~stops(so_far.take(rows), rows).finished]

    waiting = np.flatnonzero(reached == 0)
    if reached.any():
        begun = unfinished(np.flatnonzero(reached))
        for row in begun:
            _pass_over(design, generators[row], looks[reached[row] - 1])
        waiting = np.union1d(waiting, begun)
    for number, ballots in enumerate(np.diff(looks, prepend=0)):
        rows = waiting[reached[waiting] == number]
        if not len(rows):
            continue
        more = count_ballots(
            voter,
            design,
            x[rows],
            [generators[row] for row in rows],
            int(ballots),
            None if tracked is None else tracked[rows],
        )
        for counts, new in ((first_choice, more.first_choice), (pairs, more.head_to_head)):
            if counts is not None and new is not None:
                counts[rows, number] = new + (counts[rows, number - 1] if number else 0)
        reached[rows] = number + 1
        ahead = np.setdiff1d(waiting, rows)
        waiting = np.union1d(ahead, unfinished(rows)) if number + 1 < len(looks) else ahead
    return so_far


def _pass_over(design: Design, generator: np.random.Generator, ballots: int) -> None:
    """Draw the ablations of ballots that have been counted, so that the next ones are new."""
    at_once = max(1, _MASKS_AT_ONCE // design.num_features)
    for start in range(0, ballots, at_once):
        design.draw(generator, min(at_once, ballots - start))


def _no_counts(batch: int, classes: int, tracked: NDArray[np.int64] | None) -> _Counts:
    """Zeros for first choices and for rankings."""
    size = classes if tracked is None else tracked.shape[1]
    pairs = np.zeros((batch, size, classes), dtype=np.int64)
    return np.zeros((batch, classes), dtype=np.int64), pairs


def _count(
    voter: Voter,
    x: Tensor,
    tracked: NDArray[np.int64] | None,
    worker: Worker,
    passes: Iterator[tuple[NDArray[np.int64], Tensor]],
) -> _Counts:
    """First choices and rankings in the passes that this worker takes."""
    x = x.to(worker.device)
    counts, pairs = _no_counts(len(x), voter.num_classes, tracked)
    with torch.inference_mode():
        for rows, mask in passes:
            source = x[rows[:1]] if rows[0] == rows[-1] else x[torch.from_numpy(rows)]
            logits = voter.cast(source, mask, worker.forward)
            np.add.at(counts, (rows, first_choices(logits).cpu().numpy()), 1)
            here, owners = slice(int(rows[0]), int(rows[-1]) + 1), rows - rows[0]
            if tracked is None:
                pairs[here] += count_pairs(logits, owners, int(owners[-1]) + 1)
            else:
                pairs[here] += count_tracked(logits, owners, tracked[here])
    return counts, pairs


def _passes(
    design: Design,
    generators: list[np.random.Generator],
    num_samples: int,
    limit: int,
    num_workers: int,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Rows of x and masks of each pass: all ballots in order, in equal portions.

    There are as many passes for each worker, so that none waits for another's last one.
    """
    total = len(generators) * num_samples
    num_passes = num_workers * math.ceil(total / (num_workers * limit))
    for portion in range(num_passes):
        start, stop = (total * end // num_passes for end in (portion, portion + 1))
        rows = np.arange(start, stop) // num_samples
        drawn = [
            design.draw(generators[row], int(count))
            for row, count in zip(*np.unique(rows, return_counts=True), strict=True)
        ]
        yield rows, torch.from_numpy(drawn[0] if len(drawn) == 1 else np.concatenate(drawn))
