"""Which classes an input tracks, where there are too many to count every pair of them.

They are chosen from ballots of a stream of their own, so they depend on the input, the seed and
the index alone: the same for selection, estimation and prediction, and independent of the ballots
that are counted for these. A bad list costs certificates and cannot make a wrong one
(`theory.pairwise` has the proof).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.designs.design import Design
from sparsecert.smoothing.counting import count_ballots
from sparsecert.smoothing.voter import Voter
from sparsecert.streams.samples import SampleStream
from sparsecert.votes.tracked_classes import most_often_first

NUM_BALLOTS = 100


def shortlist(
    voter: Voter,
    design: Design,
    x: Tensor,
    streams: Sequence[SampleStream],
    size: int,
) -> NDArray[np.int64]:
    """`(batch, size)` the classes that each input tracks, the most often first in front.

    Args:
        voter: casts the ballots.
        design: draws what each ballot is shown.
        x: inputs.
        streams: each input's samples of the stage `SHORTLIST`.
        size: classes per input, if there are as many.

    Returns:
        The classes most often ranked first on 100 ablations, ties to the smaller index.
    """
    ballots = count_ballots(voter, design, x, streams, NUM_BALLOTS)
    return most_often_first(ballots.first_choice, size)
