"""Resetting changed features to the original's while the image still fools the classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from sparsecert.attacks.query import Fools, Queries, Version, take_unit

# Descents of a smoothed classifier's image that go to the end: most of the ballots go there.
_FINISHED = 4


class Descent:
    """One image on its way to fewer changed features.

    Args:
        start: a version that fools the classifier.
        queries: about the image.
        generator: of the order of resets.
    """

    def __init__(self, start: Version, queries: Queries, generator: np.random.Generator) -> None:
        self.start, self.current = start.image, start
        self.original, self._units = queries.original, queries.units
        self.resets: list[int] = []
        self.misclassified = start.image
        self._generator = generator
        self._pending: list[int] = []
        self._improved = True

    @property
    def size(self) -> int:
        """Changed features."""
        return int(self._units.changed(self.current.image, self.original).sum())

    def next_feature(self) -> int | None:
        """A feature to try; None where none of them can be reset any more."""
        if not self._pending and self._improved:
            changed = np.flatnonzero(self._units.changed(self.current.image, self.original))
            self._pending = self._generator.permutation(changed).tolist()
            self._improved = False
        return self._pending.pop() if self._pending else None

    def relax(self) -> None:
        """Remember where clear misclassifications end, and try all features again."""
        self.misclassified, self._improved = self.current.image, True

    def accept(self, version: Version, feature: int) -> None:
        """Go on from a version with this feature reset."""
        self.current, self._improved = version, True
        self.resets.append(feature)

    def images(self) -> Iterator[Tensor]:
        """The last image, and those with the last 1, 2, 4, ... resets undone, to the start."""
        yield self.current.image
        back = 1
        while back < len(self.resets):
            undone = self._units.mask(self.resets[-back:])
            yield self._units.replaced(self.current.image, self.start, undone)
            back *= 2
        yield self.start


def found_images(descents: Sequence[Descent]) -> Iterator[Tensor]:
    """What to try with fresh ballots, which may refuse an image at the border: the surer first."""
    for descent in descents:
        yield descent.misclassified
    for descent in descents:
        yield from descent.images()


def reset_features(
    queries: Queries, starts: Sequence[Version], generator: np.random.Generator
) -> list[Descent]:
    """Reset features of each start, in random order, until no single one can be.

    The starts go down side by side, so that a pass through the network is shared. Where the
    classifier may abstain, they go first as far as they stay clearly misclassified, which takes
    few ballots to see; the few with the fewest changes left go on from there as far as PREDICT,
    with all of the pool, is fooled.

    Args:
        queries: about the image.
        starts: versions that fool the classifier.
        generator: of the orders.
    """
    seeds = generator.spawn(len(starts))
    descents = [Descent(start, queries, own) for start, own in zip(starts, seeds, strict=True)]
    if queries.abstains:
        _go_down(queries.clearly_fooled, queries, descents)
        descents = sorted(descents, key=lambda descent: descent.size)[:_FINISHED]
        for descent in descents:
            descent.relax()
    _go_down(queries.fooled, queries, descents)
    return descents


def _go_down(
    fools: Fools,
    queries: Queries,
    descents: Sequence[Descent],
) -> None:
    while True:
        tries = [
            (descent, feature, take_unit(queries, descent.current, queries.original, feature))
            for descent in descents
            if (feature := descent.next_feature()) is not None
        ]
        if not tries:
            return
        fooled = fools([version for _, _, version in tries])
        for (descent, feature, version), still in zip(tries, fooled, strict=True):
            if still:
                descent.accept(version, feature)
