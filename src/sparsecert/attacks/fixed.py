"""A fixed family's vote, as attacks see it: deterministic, and smooth in its averaged shares."""

from __future__ import annotations

from torch import Tensor, nn

from sparsecert.attacks.plain import PlainClassifier
from sparsecert.designs.family import FamilyDesign
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier


class _MeanShares(nn.Module):
    def __init__(self, smoothed: FixedSmoothedClassifier) -> None:
        super().__init__()
        self.base, self._smoothed = smoothed.base, smoothed

    def forward(self, x: Tensor) -> Tensor:
        return self._smoothed.shares(x)


def victim_of(
    smoothed: SmoothedClassifier | FixedSmoothedClassifier,
    rule: str | None,
    abstain: float = 0.0,
) -> SmoothedClassifier | PlainClassifier:
    """A smoothed classifier as attacks take it.

    One that draws samples is asked for ballots. The vote of a fixed family is deterministic: a
    search follows the softmax of its ballots, averaged over the sets, and whether an image fools is
    the rule's answer.

    Args:
        smoothed: the classifier.
        rule: the attacked one, of a fixed family.
        abstain: of its ballots.
    """
    if isinstance(smoothed, SmoothedClassifier):
        return smoothed
    chosen = rule or FamilyDesign.rules[0]
    return PlainClassifier(
        _MeanShares(smoothed),
        smoothed.num_classes,
        decide=lambda x: smoothed.predict(x, chosen, abstain=abstain).label,
        owner=smoothed.ablation.owner,
    )
