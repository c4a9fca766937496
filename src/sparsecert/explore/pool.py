"""Ballots on one input and its changed versions, all through the same retained sets.

What a ballot says depends on the retained features alone. So after a change only those ballots are
cast again that retain something changed: of one pixel a share k/d. What comes out is what casting
all of them anew would give.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.attacks.query import InputUnits
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples
from sparsecert.votes.rankings import count_pairs, first_choices
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import tracks_few


class Pool:
    """Ballots through retained sets that are drawn once.

    Args:
        smoothed: with a design that retains features.
        image: one input.
        number: of ballots.
        seed: names the retained sets.

    Attributes:
        image: the version that the ballots are about.
        masks: `(ballots, entries)` what each ballot retains.
        num_cast: how many ballots the last change took.

    Raises:
        InputError: for an input that the classifier does not take.
    """

    def __init__(self, smoothed: SmoothedClassifier, image: Tensor, number: int, seed: int) -> None:
        smoothed.check(image[None])
        self._smoothed, self._entries = smoothed, InputUnits(image)
        drawn = smoothed.ablation.draw(samples(seed, Stage.ILLUSTRATION, 0, number))
        self.masks = torch.from_numpy(drawn)
        self.image, self._logits = image, torch.empty(number, smoothed.num_classes)
        self._cast(torch.ones(number, dtype=torch.bool))

    def show(self, image: Tensor) -> None:
        """Go on to another version of the input: cast the ballots that can tell the difference.

        Raises:
            InputError: for an input that the classifier does not take.
        """
        self._smoothed.check(image[None])
        changed = torch.from_numpy(self._entries.changed(self.image, image))
        self.image = image
        self._cast(self.masks[:, changed].any(dim=1))

    @property
    def choices(self) -> NDArray[np.int64]:
        """`(ballots,)` first choices."""
        return np.asarray(first_choices(self._logits).numpy(), dtype=np.int64)

    @property
    def tally(self) -> Tally:
        """The ballots, counted: one input; head to head too, unless there are many classes."""
        votes = np.bincount(self.choices, minlength=self._smoothed.num_classes)
        pairs = None
        if not tracks_few(self._smoothed.num_classes):
            owners = torch.zeros(len(self._logits), dtype=torch.int64)
            pairs = count_pairs(self._logits, owners, 1).numpy()
        return Tally.trusted(votes[None].astype(np.int64), pairs, None, None)

    def _cast(self, chosen: Tensor) -> None:
        ballots = chosen.nonzero().flatten()
        self.num_cast = len(ballots)
        image = self.image[None]
        with torch.inference_mode():
            for part in torch.split(ballots, self._smoothed.pass_size(image)):
                if not len(part):
                    continue  # nothing changed; not every network takes no input
                cast = self._smoothed.logits(image, self.masks[part])
                self._logits[part] = cast.float().cpu()
