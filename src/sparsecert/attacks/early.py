"""When enough ballots have been seen to know PREDICT's answer. From counts alone.

An attack asks the same question thousands of times: would PREDICT, with n ballots, give the
correct class? Most images are far from the border, and a part of the ballots decides.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import prediction_of
from sparsecert.theory.prediction import pairwise_p_value, top_two_p_value
from sparsecert.votes.tally import Tally

FIRST_LOOK = 64
ERROR = 0.01  # of one answer; see `EarlyAnswer`


def looks(num_ballots: int) -> list[int]:
    """How many of `num_ballots` unknown ballots have been seen at each look: 64, 128, 256, ..."""
    numbers = []
    seen = FIRST_LOOK
    while seen < num_ballots:
        numbers.append(seen)
        seen *= 2
    return [*numbers, num_ballots]


class EarlyAnswer(ABC):
    """Whether PREDICT, with n ballots, would misclassify or abstain, from a part of them.

    What is known of the n ballots is counted exactly. Of the u unknown ones s have been seen, in
    the order in which they were drawn. Seen from any one image, they are a random sample without
    replacement, and each moves the correct class's lead over a rival by -1, 0 or 1. By Serfling
    (1974) the mean over the s differs from the mean over the u by more than

        sqrt(2 ln(1 / delta) (1 - (s - 1) / u) / s)

    to one side with probability at most delta. With delta = 0.01 / (looks x rivals) an answer
    given before all ballots are seen is the answer at n with probability at least 0.99, whatever
    the image, provided it was chosen without looking at these ballots. A search does look, so
    within an attack this is the nominal figure: the attack may err there, and lose by it, but
    what it reports is confirmed with fresh ballots. Ballots that no longer matter, whatever they
    say, end the count with certainty.

    What the counts are, and which leads suffice, depends on PREDICT's rule.

    Args:
        num_samples: n.
        num_classes: number of classes.
    """

    def __init__(self, num_samples: int, num_classes: int) -> None:
        self._log = math.log(len(looks(num_samples)) * (num_classes - 1) / ERROR)

    def __call__(
        self, known: NDArray[np.int64], seen: NDArray[np.int64], unseen: int, label: int
    ) -> bool | None:
        """True for misclassified or abstaining, False for correct, None for not decided yet.

        Args:
            known: `(classes,)` counts of the ballots that were known beforehand.
            seen: `(classes,)` counts of those among the others that have been seen.
            unseen: number of ballots that have not.
            label: the correct class.
        """
        counts = known + seen
        if not unseen:
            return self._at_the_end(counts, label)
        lead = self.leads(counts, label)
        low, high = (lead - unseen).astype(np.float64), (lead + unseen).astype(np.float64)
        if num_seen := self.num_ballots(seen, label):
            total = num_seen + unseen
            spread = math.sqrt(2 * self._log * (1 - (num_seen - 1) / total) / num_seen)
            mean = self.leads(seen, label) / num_seen
            before = self.leads(known, label)
            low = np.maximum(low, before + total * (mean - spread))
            high = np.minimum(high, before + total * (mean + spread))
        floor, ceiling = self._critical(counts, label)
        rivals = np.arange(len(counts)) != label
        if (low[rivals] > ceiling).all():
            return False
        if (high <= floor)[rivals].any():
            return True
        return None

    @abstractmethod
    def leads(self, counts: NDArray[np.int64], label: int) -> NDArray[np.int64]:
        """`(classes,)` by how many ballots the correct class leads over each."""

    @abstractmethod
    def num_ballots(self, counts: NDArray[np.int64], label: int) -> int:
        """How many ballots were counted."""

    @abstractmethod
    def _at_the_end(self, counts: NDArray[np.int64], label: int) -> bool:
        """The answer when all n ballots are counted."""

    @abstractmethod
    def _critical(self, counts: NDArray[np.int64], label: int) -> tuple[NDArray[np.int64], int]:
        """Leads that are surely too small, by rival, and one above which none is."""


class MajorityEarlyAnswer(EarlyAnswer):
    """For PREDICT of the majority rule; counts are first choices.

    Args:
        num_samples: n.
        num_classes: number of classes.
        alpha: PREDICT's.
    """

    def __init__(self, num_samples: int, num_classes: int, alpha: float) -> None:
        super().__init__(num_samples, num_classes)
        self._alpha = alpha
        critical = critical_leads(num_samples, alpha)
        # The smallest critical lead for this many votes or more.
        self._floor = np.minimum.accumulate(critical[::-1])[::-1]
        self._ceiling = int(critical.max())

    def leads(self, counts: NDArray[np.int64], label: int) -> NDArray[np.int64]:
        """`(classes,)` by how many votes the correct class leads over each."""
        return np.asarray(counts[label] - counts)

    def num_ballots(self, counts: NDArray[np.int64], label: int) -> int:
        """How many ballots were counted."""
        return int(counts.sum())

    def _at_the_end(self, counts: NDArray[np.int64], label: int) -> bool:
        return bool(prediction_of(Tally(counts[None]), self._alpha).label[0] != label)

    def _critical(self, counts: NDArray[np.int64], label: int) -> tuple[NDArray[np.int64], int]:
        both = counts[label] + counts
        both[label] = 0  # it is no rival of its own
        return self._floor[both], self._ceiling


class PairwiseEarlyAnswer(EarlyAnswer):
    """For PREDICT of the pairwise rule.

    Counts are of the ballots that rank each class above the correct one; in the place of the
    correct class stands the number of ballots. Each ballot moves a lead by -1 or 1, so the same
    bound holds.

    Args:
        num_samples: n.
        num_classes: number of classes.
        alpha: PREDICT's; None for never abstaining where there is a pairwise winner.
    """

    def __init__(self, num_samples: int, num_classes: int, alpha: float | None) -> None:
        super().__init__(num_samples, num_classes)
        self._lead = 0 if alpha is None else critical_pairwise_lead(num_samples, num_classes, alpha)

    def leads(self, counts: NDArray[np.int64], label: int) -> NDArray[np.int64]:
        """`(classes,)` by how many ballots the correct class leads over each, head to head."""
        return np.asarray(counts[label] - 2 * counts)

    def num_ballots(self, counts: NDArray[np.int64], label: int) -> int:
        """How many ballots were counted."""
        return int(counts[label])

    def _at_the_end(self, counts: NDArray[np.int64], label: int) -> bool:
        return bool((np.delete(self.leads(counts, label), label) <= self._lead).any())

    def _critical(self, counts: NDArray[np.int64], label: int) -> tuple[NDArray[np.int64], int]:
        return np.full(len(counts), self._lead), self._lead


def critical_pairwise_lead(num_samples: int, num_classes: int, alpha: float) -> int:
    """The largest lead, of n ballots head to head, at which PREDICT by the pairwise rule abstains.

    Args:
        num_samples: n.
        num_classes: number of classes.
        alpha: PREDICT's.
    """
    wins = np.arange(num_samples + 1)
    certain = pairwise_p_value(wins, np.asarray(num_samples)) <= alpha / (num_classes - 1)
    # The winner's lead is above 0 whatever alpha is.
    return max(0, 2 * int(num_samples - certain.sum()) - num_samples)


def critical_leads(num_samples: int, alpha: float) -> NDArray[np.int64]:
    """Entry t: the largest lead over the runner-up at which PREDICT abstains, of t votes for both.

    Args:
        num_samples: the largest t.
        alpha: PREDICT's.
    """
    total = np.arange(num_samples + 1)
    # By bisection over the votes of the first; an even split is always an abstention.
    low, high = (total + 1) // 2, total + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        inside = np.minimum(middle, total)
        undecided = (middle <= total) & (top_two_p_value(inside, total - inside) > alpha)
        low, high = np.where(undecided, middle, low), np.where(undecided, high, middle)
    return 2 * low - total
