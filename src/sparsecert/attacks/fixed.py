"""A fixed family's vote, as attacks see it: deterministic, and smooth in its averaged shares."""

from __future__ import annotations

from torch import Tensor, nn

from sparsecert.attacks.plain import PlainClassifier
from sparsecert.smoothing.family import FixedSmoothedClassifier


class _MeanShares(nn.Module):
    def __init__(self, smoothed: FixedSmoothedClassifier) -> None:
        super().__init__()
        self.base, self._smoothed = smoothed.base, smoothed

    def forward(self, x: Tensor) -> Tensor:
        return self._smoothed.shares(x)


def fixed_victim(smoothed: FixedSmoothedClassifier, rule: str) -> PlainClassifier:
    """The classifier that a rule makes of the ballots.

    A search follows the softmax of the ballots, averaged over the sets; whether an image fools is
    the rule's answer.

    Args:
        smoothed: the vote.
        rule: "plurality", "run-off" or "pairwise".
    """
    return PlainClassifier(
        _MeanShares(smoothed),
        smoothed.num_classes,
        decide=lambda x: smoothed.predict(x, rule).label,
    )
