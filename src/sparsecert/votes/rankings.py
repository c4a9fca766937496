"""A ballot ranks the classes: by falling logit, the smaller index first where two are equal.

So of two different classes exactly one is above the other, and the class above all others is the
ballot's first choice.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.votes.tracked_classes import NO_CLASS


def first_choices(logits: Tensor) -> Tensor:
    """`(ballots,)` classes ranked first; `argmax` gives the first of equal maxima."""
    return logits.argmax(dim=1)


def count_pairs(logits: Tensor, rows: NDArray[np.int64], num_rows: int) -> NDArray[np.int64]:
    """How many ballots of each input rank one class above another.

    Args:
        logits: `(ballots, classes)`.
        rows: `(ballots,)` the input each ballot belongs to.
        num_rows: number of inputs.

    Returns:
        `(num_rows, classes, classes)` ballots that rank class c above class j, at [c, j].
    """
    classes = logits.shape[1]
    smaller, larger = torch.triu_indices(classes, classes, offset=1, device=logits.device)
    # In a tie the smaller index is above, so one comparison decides each pair.
    above = (logits[:, smaller] >= logits[:, larger]).to(torch.int64)
    owners = torch.from_numpy(rows).to(logits.device)
    wins = torch.zeros(num_rows, len(smaller), dtype=torch.int64, device=logits.device)
    wins.index_add_(0, owners, above)
    counts = torch.zeros(num_rows, classes, classes, dtype=torch.int64, device=logits.device)
    counts[:, smaller, larger] = wins
    ballots = torch.bincount(owners, minlength=num_rows)
    counts[:, larger, smaller] = ballots[:, None] - wins
    pairs: NDArray[np.int64] = counts.cpu().numpy()
    return pairs


def count_tracked(
    logits: Tensor, rows: NDArray[np.int64], tracked: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many ballots of each input rank a class that it tracks above another.

    One tracked class is compared with all others at a time: next to the logits this takes a few
    times their memory, however many are tracked.

    Args:
        logits: `(ballots, classes)`.
        rows: `(ballots,)` the input each ballot belongs to.
        tracked: `(inputs, T)` classes, or `NO_CLASS`.

    Returns:
        `(inputs, T, classes)` ballots that rank tracked class t above class j, at [t, j]; 0 where
        j is t.
    """
    owners = torch.from_numpy(rows).to(logits.device)
    names = torch.arange(logits.shape[1], device=logits.device)
    lists = torch.from_numpy(tracked).to(logits.device)
    shape = (*tracked.shape, logits.shape[1])
    counts = torch.zeros(shape, dtype=torch.int32, device=logits.device)
    for place in range(tracked.shape[1]):
        mine = lists[owners, place, None]
        own = logits.gather(1, mine.clamp(min=0))
        # In a tie the smaller index is above.
        above = (logits < own) | ((logits == own) & (names > mine))
        above &= mine != NO_CLASS
        counts[:, place].index_add_(0, owners, above.to(torch.int32))
    wins: NDArray[np.int64] = counts.cpu().numpy().astype(np.int64)
    return wins
