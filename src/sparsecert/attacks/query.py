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
        cached: ballots whose answer was known, as one that saw the same had been cast.
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
        keys: `(ballots,)` names of what each ballot sees (`known.KnownBallots`).
        rows: `(ballots,)` where it is kept what each ballot said, `UNKNOWN` where it has not been
            looked up yet.
    """

    image: Tensor
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


# Whether each of these versions fools the classifier, in one sense or another.
Fools = Callable[[Sequence[Version]], NDArray[np.bool_]]
# The lead of the correct class in each of these versions, in one count or another.
Lead = Callable[[Sequence[Version]], NDArray[np.float64]]


@runtime_checkable
class Queries(Protocol):
    """Questions about one image.

    Attributes:
        original: the image, unchanged.
        label: its correct class.
        cost: what the questions have cost so far.
        abstains: whether the classifier may abstain, so that there are two ways to be fooled.
        units: of the image.
    """

    units: InputUnits
    original: Tensor
    label: int
    cost: Cost
    abstains: bool

    def version(self, image: Tensor) -> Version:
        """A version of which nothing is known."""
        ...

    def change(self, version: Version, image: Tensor, units: NDArray[np.int64]) -> Version:
        """A version that differs from another in these units at most."""
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

    def fine_lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """The lead, from more ballots, and where one counts that is almost lost: dearer."""
        ...

    def soft_lead(self, image: Tensor) -> tuple[Tensor, float]:
        """The lead as a differentiable scalar, and as `lead` counts it, from fresh ballots."""
        ...

    def confirm(self, image: Tensor) -> int:
        """The class that fresh ballots give the image, or `ABSTAIN`."""
        ...


class InputUnits:
    """What an attack changes, and what its size is counted in: the units of one image.

    Args:
        image: of the shape of one input.
        owner: `(entries,)` unit of each pixel or column, -1 for those that nobody can attack; None
            where each is a unit.
    """

    def __init__(self, image: Tensor, owner: NDArray[np.int64] | None = None) -> None:
        self._shape = image.shape if image.ndim == 1 else (1, *image.shape[1:])
        entries = int(np.prod(self._shape))
        self._owner = np.arange(entries) if owner is None else owner
        self.number, self.num_entries = int(self._owner.max()) + 1, entries
        # Where sums are added up: those of what is protected come last.
        self._place = torch.from_numpy(self._owner % (self.number + 1)).to(image.device)

    def changed(self, one: Tensor, other: Tensor) -> NDArray[np.bool_]:
        """`(units,)` booleans: where two images differ, in any entry and channel.

        What is missing in both does not differ.
        """
        differs = (one != other) & ~(one.isnan() & other.isnan())
        flat = differs if one.ndim == 1 else differs.any(dim=0).flatten()
        found = np.zeros(self.number + 1, dtype=np.bool_)  # the last one of what is protected
        found[self._owner[flat.cpu().numpy()]] = True
        return found[:-1]

    def num_changed(self, one: Tensor, other: Tensor) -> int:
        """How many units differ."""
        return int(self.changed(one, other).sum())

    def mask(self, units: Sequence[int]) -> NDArray[np.bool_]:
        """`(units,)` booleans: these units."""
        mask = np.zeros(self.number, dtype=np.bool_)
        mask[list(units)] = True
        return mask

    def entries(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entries of these units."""
        return np.flatnonzero(self._spread(self.mask(units.tolist())))

    def replaced(self, image: Tensor, source: Tensor, units: NDArray[np.bool_]) -> Tensor:
        """The image with these units taken from another."""
        mask = torch.from_numpy(self._spread(units)).reshape(self._shape)
        return torch.where(mask.to(image.device), source, image)

    def sums(self, values: Tensor) -> Tensor:
        """`(units,)` sums over the entries and channels of each; differentiable."""
        flat = values if values.ndim == 1 else values.sum(dim=0).flatten()
        return flat.new_zeros(self.number + 1).index_add(0, self._place, flat)[:-1]

    def _spread(self, units: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """`(entries,)` booleans: those of these units."""
        spread: NDArray[np.bool_] = np.append(units, False)[self._owner]
        return spread


def take_unit(queries: Queries, version: Version, source: Tensor, unit: int) -> Version:
    """A version with this unit taken from another image."""
    image = queries.units.replaced(version.image, source, queries.units.mask([unit]))
    return queries.change(version, image, np.array([unit]))


def without_least(queries: Queries, version: Version, lead: Lead) -> Version | None:
    """Reset the unit whose change the lead needs least; None if that leaves none."""
    changed = np.flatnonzero(queries.units.changed(version.image, queries.original))
    if len(changed) < 2:
        return None
    tries = [take_unit(queries, version, queries.original, unit) for unit in changed.tolist()]
    return tries[int(lead(tries).argmin())]
