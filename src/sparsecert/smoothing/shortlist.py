"""Which classes an input follows, where there are too many to count every pair of them.

They are chosen from ballots of a stream of their own, so they depend on the input, the seed and
the index alone: the same for selection, estimation and prediction, and independent of the ballots
that are counted for these. A bad list costs certificates and cannot make a wrong one
(`theory.pairwise` has the proof).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.streams import Stage
from sparsecert.votes.tally import follows_few
from sparsecert.votes.tracked_classes import most_often_first

if TYPE_CHECKING:
    from sparsecert.smoothing.sampled import SmoothedClassifier

MOST_FOLLOWED = 8
NUM_BALLOTS = 100


def shortlist(
    smoothed: SmoothedClassifier,
    x: Tensor,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> NDArray[np.int64] | None:
    """The classes that each input follows, the most often first in front.

    Args:
        smoothed: the smoothed classifier.
        x: inputs.
        seed: names the random streams, together with `indices`.
        indices: each input's index in its data set; 0, 1, ... by default.

    Returns:
        `(batch, F)` classes, at most 8: those most often ranked first on 100 ablations, ties to the
        smaller index; None where there are few enough classes to count every pair.

    Raises:
        InputError: as `SmoothedClassifier.tally`.
    """
    if not follows_few(smoothed.num_classes):
        return None
    generators = smoothed.streams(x, Stage.SHORTLIST, seed, indices)
    ballots = smoothed.count(x, generators, NUM_BALLOTS)
    return most_often_first(ballots.first_choice, MOST_FOLLOWED)
