"""What an attack reads from a ballot, by the rule whose prediction it attacks.

Of each ballot one integer is kept, and of many their counts by class. For the majority rule that
is the first choice and the votes of each class. For the pairwise rule it is the set of classes
that the ballot ranks above the correct one, bit by bit; and for each class how often it is, with
the number of ballots in the place of the correct class.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sparsecert.attacks.early import EarlyAnswer, MajorityEarlyAnswer, PairwiseEarlyAnswer
from sparsecert.certification import prediction_of
from sparsecert.errors import InputError
from sparsecert.votes.rankings import first_choices
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import (
    MOST_CLASSES_HEAD_TO_HEAD,
    track_nothing,
    tracks_few,
)

_NEVER_ABSTAIN = 1 - 1e-9  # as PREDICT's alpha: only a tie is an abstention


class Reading(Protocol):
    """How the ballots on versions of one image are read.

    Attributes:
        rule: the attacked one.
        tracked: classes whose head-to-head counts a confirmation needs; None for all.
        early: answers "misclassified or abstaining?" from counts; under True, "is a rival as good
            as the correct class?", however many ballots PREDICT would want to be sure.
    """

    rule: str
    tracked: NDArray[np.int64] | None
    early: dict[bool, EarlyAnswer]

    def read(self, logits: Tensor) -> NDArray[np.int64]:
        """`(ballots,)` what is kept of each ballot, at least 0."""
        ...

    def count(self, answers: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(classes,)` counts, as `early` takes them."""
        ...

    def shares(self, logits: Tensor) -> Tensor:
        """`(ballots, classes)` soft counts of each ballot, in [0, 1]; differentiable."""
        ...

    def soft_lead(self, shares: Tensor) -> Tensor:
        """The least lead over a rival, of `(classes,)` mean shares; differentiable."""
        ...

    def predict(self, tally: Tally) -> int:
        """PREDICT on the ballots of one image."""
        ...


class FirstChoices:
    """For PREDICT of the majority rule, which is margin's too.

    Args:
        num_samples: n.
        num_classes: number of classes.
        label: the correct class.
        alpha: PREDICT's.
    """

    rule = "majority"

    def __init__(self, num_samples: int, num_classes: int, label: int, alpha: float) -> None:
        self.tracked: NDArray[np.int64] | None = track_nothing(1)
        self.early: dict[bool, EarlyAnswer] = {
            strict: MajorityEarlyAnswer(num_samples, num_classes, level)
            for strict, level in ((False, alpha), (True, _NEVER_ABSTAIN))
        }
        self._classes, self._label, self._alpha = num_classes, label, alpha

    def read(self, logits: Tensor) -> NDArray[np.int64]:
        """First choices."""
        return np.asarray(first_choices(logits).cpu().numpy(), dtype=np.int64)

    def count(self, answers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Votes."""
        return np.bincount(answers, minlength=self._classes)

    def shares(self, logits: Tensor) -> Tensor:
        """The softmax."""
        return functional.softmax(logits, dim=1)

    def soft_lead(self, shares: Tensor) -> Tensor:
        """Over the best other class."""
        others = torch.arange(len(shares), device=shares.device) != self._label
        return shares[self._label] - shares[others].max()

    def predict(self, tally: Tally) -> int:
        """PREDICT's class, or `ABSTAIN`."""
        return int(prediction_of(tally, self._alpha).label[0])


class RivalsAbove:
    """For PREDICT of the pairwise rule.

    Arguments are those of `FirstChoices`.

    Raises:
        InputError: for more classes than all have head-to-head counts of.
    """

    rule = "pairwise"

    def __init__(self, num_samples: int, num_classes: int, label: int, alpha: float) -> None:
        if tracks_few(num_classes):
            raise InputError(
                f"expected at most {MOST_CLASSES_HEAD_TO_HEAD} classes to attack the pairwise "
                f"rule, got {num_classes}"
            )
        self.tracked: NDArray[np.int64] | None = None
        self.early: dict[bool, EarlyAnswer] = {
            strict: PairwiseEarlyAnswer(num_samples, num_classes, level)
            for strict, level in ((False, alpha), (True, None))
        }
        self._label, self._alpha = label, alpha
        self._bits = np.arange(num_classes)

    def read(self, logits: Tensor) -> NDArray[np.int64]:
        """Bit c says that class c is above the correct one."""
        own = logits[:, self._label, None]
        names = torch.arange(logits.shape[1], device=logits.device)
        # In a tie the smaller index is above.
        above = (logits > own) | ((logits == own) & (names < self._label))
        return np.asarray(above.cpu().numpy().astype(np.int64) @ (1 << self._bits))

    def count(self, answers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ballots that rank each class above the correct one, and in its place all ballots."""
        counts: NDArray[np.int64] = ((answers[:, None] >> self._bits) & 1).sum(axis=0)
        counts[self._label] = len(answers)
        return counts

    def shares(self, logits: Tensor) -> Tensor:
        """The sigmoid of the correct class's lead in logits, head to head."""
        return torch.sigmoid(logits[:, self._label, None] - logits)

    def soft_lead(self, shares: Tensor) -> Tensor:
        """Over the class that it leads least, head to head."""
        others = torch.arange(len(shares), device=shares.device) != self._label
        return 2 * shares[others].min() - 1

    def predict(self, tally: Tally) -> int:
        """PREDICT's class, or `ABSTAIN`."""
        return int(prediction_of(tally, self._alpha, self.rule).label[0])


READINGS: dict[str, type[FirstChoices] | type[RivalsAbove]] = {
    reading.rule: reading for reading in (FirstChoices, RivalsAbove)
}
