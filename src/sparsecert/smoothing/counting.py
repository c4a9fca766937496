"""Counting ballots: passes of ablated inputs through the network, side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.certification import Stop
from sparsecert.designs.design import Design
from sparsecert.smoothing.drawing import Drawing
from sparsecert.smoothing.parallel import run_parallel
from sparsecert.smoothing.voter import Voter, Worker, refuse_nan
from sparsecert.streams import Stage
from sparsecert.streams.samples import SampleStream, samples
from sparsecert.votes.rankings import count_pairs, count_tracked, first_choices
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import check_tracked, track_nothing, tracks_few

# Where counting stops: asked with what has been counted of some inputs, and which rows they are.
StopRule = Callable[[Tally, NDArray[np.int64]], Stop]
_Counts = tuple[NDArray[np.int64], NDArray[np.int64]]

# Masks that are drawn at once, for several passes: each operation costs a fixed time, on an
# accelerator more of it. On a CPU they stay in its caches.
_MASK_BYTES_ON_CPU, _MASK_BYTES_ELSEWHERE = 2**20, 64 * 2**20


def count_ballots(
    voter: Voter,
    design: Design,
    x: Tensor,
    streams: Sequence[SampleStream],
    num_samples: int,
    tracked: NDArray[np.int64] | None = None,
    first: int = 0,
) -> Tally:
    """Count ballots of each input.

    Args:
        voter: casts them.
        design: draws what each ballot is shown.
        x: inputs.
        streams: the samples of each input.
        num_samples: ballots per input.
        tracked: `(batch, T)` classes whose head-to-head counts are recorded; by default those of
            all classes up to `MOST_CLASSES_HEAD_TO_HEAD`, and of none beyond.
        first: number of each input's first sample.

    Returns:
        Counts of one look.
    """
    if tracked is None and tracks_few(voter.num_classes):
        tracked = track_nothing(len(x))
    if tracked is not None:
        check_tracked(tracked, len(x), voter.num_classes)
    counts, pairs = (part.numpy() for part in _no_counts(len(x), voter.num_classes, tracked))
    if streams:
        x = voter.on_device(x)

        def few(number: int) -> tuple[Tensor, Tensor]:
            masks = design.draw(samples(0, Stage.PROBE, 0, number))
            return x[torch.arange(number) % len(x)], torch.from_numpy(masks)

        with voter.evaluating():
            voter.try_out(few, x)
            workers = voter.workers(x, len(x) * num_samples)
            limit, on_cpu = voter.pass_size(x), x.device.type == "cpu"
            memory = _MASK_BYTES_ON_CPU if on_cpu else _MASK_BYTES_ELSEWHERE
            together = max(1, memory // (limit * design.num_entries))
            portions = _portions(len(x) * num_samples, len(workers), limit, together)
            count = [
                partial(
                    _count,
                    voter,
                    x,
                    tracked,
                    worker,
                    Drawing(design, streams, num_samples, first, worker.device),
                    limit,
                )
                for worker in workers
            ]
            for choices, rankings in run_parallel(portions, count):
                counts += choices
                pairs += rankings
    if tracked is not None and not tracked.shape[1]:
        return Tally.trusted(counts, None, None, None)
    return Tally.trusted(counts, pairs, tracked, None)


def count_looks(
    voter: Voter,
    design: Design,
    x: Tensor,
    streams: Sequence[SampleStream],
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
        streams: the samples of each input.
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
        waiting = np.union1d(waiting, unfinished(np.flatnonzero(reached)))
    for number, ballots in enumerate(np.diff(looks, prepend=0)):
        rows = waiting[reached[waiting] == number]
        if not len(rows):
            continue
        more = count_ballots(
            voter,
            design,
            x[rows],
            [streams[row] for row in rows],
            int(ballots),
            None if tracked is None else tracked[rows],
            first=looks[number - 1] if number else 0,
        )
        for counts, new in ((first_choice, more.first_choice), (pairs, more.head_to_head)):
            if counts is not None and new is not None:
                counts[rows, number] = new + (counts[rows, number - 1] if number else 0)
        reached[rows] = number + 1
        ahead = np.setdiff1d(waiting, rows)
        waiting = np.union1d(ahead, unfinished(rows)) if number + 1 < len(looks) else ahead
    return so_far


def _no_counts(
    batch: int,
    classes: int,
    tracked: NDArray[np.int64] | None,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Zeros for first choices and for rankings."""
    size = classes if tracked is None else tracked.shape[1]
    shapes = (batch, classes), (batch, size, classes)
    counts, pairs = (torch.zeros(shape, dtype=torch.int64, device=device) for shape in shapes)
    return counts, pairs


def _count(
    voter: Voter,
    x: Tensor,
    tracked: NDArray[np.int64] | None,
    worker: Worker,
    drawing: Drawing,
    limit: int,
    portions: Iterator[tuple[int, int]],
) -> _Counts:
    """First choices and rankings in the portions that this worker takes.

    Counts stay on the device until the end, so the host never waits for a pass to end.
    """
    x = x.to(worker.device)
    counts, pairs = _no_counts(len(x), voter.num_classes, tracked, worker.device)
    lists = None if tracked is None else torch.from_numpy(tracked).to(worker.device)
    has_nan = torch.zeros((), dtype=torch.bool, device=worker.device)
    with torch.inference_mode():
        for start, stop in portions:
            drawn = drawing(start, stop)
            for low, high in _passes(start, stop, limit):
                mask, rows = drawn[low - start : high - start], slice(*drawing.inputs(low, high))
                owners = torch.arange(low, high, device=worker.device) // drawing.num_samples
                source = x[rows] if rows.stop - rows.start == 1 else x[owners]
                logits = voter.cast(source, mask, worker.forward, has_nan)
                choices = owners * voter.num_classes + first_choices(logits)
                counts.view(-1).index_add_(0, choices, torch.ones_like(choices))
                owners -= rows.start
                if lists is None:
                    pairs[rows] += count_pairs(logits, owners, rows.stop - rows.start)
                else:
                    pairs[rows] += count_tracked(logits, owners, lists[rows])
    refuse_nan(has_nan)
    return counts.cpu().numpy(), pairs.cpu().numpy()


def _portions(total: int, num_workers: int, limit: int, together: int) -> Iterator[tuple[int, int]]:
    """First ballot of each portion, and the one after its last: all in order, in equal portions.

    Args:
        total: number of ballots.
        num_workers: there are as many portions for each, so that none waits for another's last.
        limit: ballots of a pass.
        together: passes of a portion, at most.
    """
    passes = math.ceil(total / (num_workers * limit))  # of each worker
    number = num_workers * math.ceil(passes / together)
    ends = [total * portion // number for portion in range(number + 1)]
    yield from itertools.pairwise(ends)


def _passes(start: int, stop: int, limit: int) -> Iterator[tuple[int, int]]:
    """The same for the passes of a portion."""
    number = math.ceil((stop - start) / limit)
    ends = [start + (stop - start) * part // number for part in range(number + 1)]
    yield from itertools.pairwise(ends)
