"""A ballot ranks the classes: by falling logit, the smaller index first where two are equal.

So of two different classes exactly one is above the other, and the class above all others is the
ballot's first choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsecert.votes.tracked_classes import NO_CLASS


def first_choices(logits: Tensor) -> Tensor:
    """`(ballots,)` classes ranked first; `argmax` gives the first of equal maxima."""
    return logits.argmax(dim=1)


def count_pairs(logits: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """How many ballots of each input rank one class above another.

    Args:
        logits: `(ballots, classes)`.
        rows: `(ballots,)` the input each ballot belongs to, on the same device.
        num_rows: number of inputs.

    Returns:
        `(num_rows, classes, classes)` ballots that rank class c above class j, at [c, j].
    """
    classes = logits.shape[1]
    smaller, larger = torch.triu_indices(classes, classes, offset=1, device=logits.device)
    # In a tie the smaller index is above, so one comparison decides each pair.
    by_class = logits.T.contiguous()
    above = by_class[smaller] >= by_class[larger]
    if num_rows == 1:  # as in most passes, and sooner than what follows
        wins, ballots = above.sum(dim=1)[None], rows.new_full((1,), len(rows))
    else:
        wins = logits.new_zeros(num_rows, len(smaller), dtype=torch.int64)
        wins.index_add_(0, rows, above.T.to(torch.int64))
        ballots = torch.zeros_like(wins[:, 0]).index_add_(0, rows, torch.ones_like(rows))
    counts = logits.new_zeros(num_rows, classes, classes, dtype=torch.int64)
    counts[:, smaller, larger] = wins
    counts[:, larger, smaller] = ballots[:, None] - wins
    return counts


def count_tracked(logits: Tensor, rows: Tensor, tracked: Tensor) -> Tensor:
    """How many ballots of each input rank a class that it tracks above another.

    One tracked class is compared with all others at a time: next to the logits this takes a few
    times their memory, however many are tracked.

    Args:
        logits: `(ballots, classes)`.
        rows: `(ballots,)` the input each ballot belongs to, on the same device.
        tracked: `(inputs, T)` classes, or `NO_CLASS`, there too.

    Returns:
        `(inputs, T, classes)` ballots that rank tracked class t above class j, at [t, j]; 0 where
        j is t.
    """
    names = torch.arange(logits.shape[1], device=logits.device)
    counts = logits.new_zeros(*tracked.shape, logits.shape[1], dtype=torch.int64)
    for place in range(tracked.shape[1]):
        mine = tracked[rows, place, None]
        own = logits.gather(1, mine.clamp(min=0))
        # In a tie the smaller index is above.
        above = (logits < own) | ((logits == own) & (names > mine))
        above &= mine != NO_CLASS
        counts[:, place].index_add_(0, rows, above.to(torch.int64))
    return counts
