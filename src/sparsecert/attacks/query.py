"""Questions an attack may ask about changed versions of one image.

An attack searches through `Version`s of an image and asks `Queries` about them. What is asked of
a smoothed classifier is counted in ballots (`ballots.py`); a deterministic one answers at once
(`plain.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class Cost:
    """What an attack on one image has cost.

    Each query would take n ballots if nothing were known and every answer waited for all of them:
    drawn + cached + skipped is that number.

    Attributes:
        queries: questions asked, those of the confirmations included.
        drawn: ballots that went through the network.
        cached: ballots whose answer was known, as they retain no changed feature.
        skipped: ballots that were not needed, as the answer was decided before them.
        confirmations: images tried with fresh ballots.
    """

    queries: int = 0
    drawn: int = 0
    cached: int = 0
    skipped: int = 0
    confirmations: int = 0


@dataclass(eq=False)
class Version:
    """A changed version of the attacked image, and what is known about it.

    Attributes:
        image: of the shape of one input.
        answers: `(ballots,)` what is known of each ballot (`Reading.read`), -1 where nothing is.
        parent: the version that it was made from.
        touched: `(ballots,)` whether a ballot can tell it from its parent.
    """

    image: Tensor
    answers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    parent: Version | None = None
    touched: NDArray[np.bool_] | None = None

    def settle(self) -> None:
        """Forget the parent, which nothing will be asked about any more."""
        self.parent = self.touched = None


# Whether each of these versions fools the classifier, in one sense or another.
Fools = Callable[[Sequence[Version]], NDArray[np.bool_]]


@runtime_checkable
class Queries(Protocol):
    """Questions about one image.

    Attributes:
        original: the image, unchanged.
        label: its correct class.
        cost: what the questions have cost so far.
        abstains: whether the classifier may abstain, so that there are two ways to be fooled.
    """

    original: Tensor
    label: int
    cost: Cost
    abstains: bool

    def version(self, image: Tensor) -> Version:
        """A version of which nothing is known."""
        ...

    def change(self, version: Version, image: Tensor, features: NDArray[np.int64]) -> Version:
        """A version that differs from another in these features at most."""
        ...

    def fooled(self, versions: Sequence[Version], *, strict: bool = False) -> NDArray[np.bool_]:
        """Whether each would be misclassified or abstained on; strictly: whether a rival leads."""
        ...

    def clearly_fooled(self, versions: Sequence[Version]) -> NDArray[np.bool_]:
        """Whether each is misclassified by so much that a few ballots show it."""
        ...

    def lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """By how much the correct class leads over the best rival: what a search lowers to 0."""
        ...

    def soft_lead(self, image: Tensor) -> tuple[Tensor, float]:
        """The lead as a differentiable scalar, and as `lead` counts it, from fresh ballots."""
        ...

    def confirm(self, image: Tensor) -> int:
        """The class that fresh ballots give the image, or `ABSTAIN`."""
        ...


def spread(features: NDArray[np.bool_], image: Tensor) -> Tensor:
    """A mask over features in the shape of an image of one channel, or of a vector."""
    mask = torch.from_numpy(features).to(image.device)
    return mask if image.ndim == 1 else mask.reshape(1, *image.shape[1:])


def changed_features(one: Tensor, other: Tensor) -> NDArray[np.bool_]:
    """`(features,)` booleans: where two images differ, in any channel.

    What is missing in both does not differ.
    """
    differs = (one != other) & ~(one.isnan() & other.isnan())
    flat = differs if one.ndim == 1 else differs.any(dim=0).flatten()
    changed: NDArray[np.bool_] = flat.cpu().numpy()
    return changed


def feature_mask(image: Tensor, features: Sequence[int]) -> NDArray[np.bool_]:
    """`(features,)` booleans: these features of an image."""
    mask = np.zeros(image.shape[-1] * (1 if image.ndim == 1 else image.shape[-2]), dtype=np.bool_)
    mask[list(features)] = True
    return mask


def take_feature(queries: Queries, version: Version, source: Tensor, feature: int) -> Version:
    """A version with this feature taken from another image."""
    image = with_features(version.image, source, feature_mask(version.image, [feature]))
    return queries.change(version, image, np.array([feature]))


def with_features(image: Tensor, source: Tensor, features: NDArray[np.bool_]) -> Tensor:
    """The image with these features taken from another."""
    return torch.where(spread(features, image), source, image)
