"""Ballots of fixed families on disk: every set's ranking and probabilities, a row per image.

Probabilities are kept in steps of 1/255. Where ballots abstain, they are what the ballots *are*,
whether they come from disk or from the network just now: so nothing is lost to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.json_values import build
from sparsecert.votes.store import Stored, VoteSettings, VoteStore

_STEPS = 255


@dataclass(frozen=True)
class Ballots:
    """Every set's ballot on some images.

    Attributes:
        ranks: `(images, sets, classes)` rank of each class on each ballot; 0 is the first choice.
        steps: `(images, sets, classes)` bytes: the probability of each class in steps of 1/255;
            0 for all of an image's where they were not recorded.
    """

    ranks: NDArray[np.integer]
    steps: NDArray[np.uint8]

    @classmethod
    def of(cls, logits: NDArray[np.floating]) -> Ballots:
        """The ballots of these `(images, sets, classes)` logits."""
        return cls(ranks_of(logits), steps_of(logits))

    @property
    def has_probabilities(self) -> NDArray[np.bool_]:
        """`(images,)` whether they were recorded; those of a ballot are never all 0."""
        return np.asarray(self.steps.any(axis=(1, 2)))

    @property
    def without_probabilities(self) -> Ballots:
        """The rankings alone, which suffice where ballots do not abstain."""
        return Ballots(self.ranks, np.zeros_like(self.steps))

    def scores(self, abstain: float) -> NDArray[np.float32]:
        """Scores for `certify_ballots`: probabilities where ballots abstain, else minus ranks.

        Args:
            abstain: the threshold on differences of probabilities; 0 for none.

        Raises:
            InputError: for ballots without probabilities that are to abstain.
        """
        if not abstain:
            return -self.ranks.astype(np.float32)
        if not self.has_probabilities.all():
            raise InputError(
                "expected ballots with probabilities, by which they abstain; these were cast "
                "without: cast them again with `sparsecert certify --abstain`"
            )
        return self.steps.astype(np.float32) / np.float32(_STEPS)

    def take(self, rows: NDArray[np.int64] | slice) -> Ballots:
        """The images at these rows."""
        return Ballots(self.ranks[rows], self.steps[rows])


class BallotStore(VoteStore[VoteSettings, Ballots]):
    """The ballots of a run; of images that are there twice, those with probabilities.

    Args:
        folder: where the parts are.
        num_sets: ballots per image.
        num_classes: classes ranked by each.
        num_images: of the data set; None where it is not known.
    """

    def __init__(
        self, folder: Path, num_sets: int, num_classes: int, num_images: int | None = None
    ) -> None:
        super().__init__(folder, num_images)
        self.num_sets, self.num_classes = num_sets, num_classes

    def _settings(self, values: Mapping[str, Any]) -> VoteSettings:
        return build(VoteSettings, values)

    def _columns(self, votes: Ballots) -> dict[str, NDArray[Any]]:
        rows = len(votes.ranks)
        steps = {"probabilities": votes.steps.reshape(rows, -1)}
        ranks = {"ranks": votes.ranks.reshape(rows, -1)}
        return ranks | steps if votes.has_probabilities.any() else ranks

    def _widths(self, settings: VoteSettings) -> dict[str, int]:
        return dict.fromkeys(("ranks", "probabilities"), self.num_sets * self.num_classes)

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: VoteSettings) -> Ballots:
        shape = (len(columns["index"]), self.num_sets, self.num_classes)
        if columns["ranks"].size != math.prod(shape):
            raise InputError(
                f"expected ballots of {self.num_sets} sets on {self.num_classes} classes, got "
                "another number"
            )
        ranks = columns["ranks"].reshape(shape)
        if (np.sort(ranks, axis=2) != np.arange(self.num_classes)).any():
            raise InputError(f"expected every ballot to rank {self.num_classes} classes")
        steps = columns.get("probabilities", np.zeros(ranks.shape, dtype=np.uint8))
        if steps.dtype != np.uint8:
            raise InputError(f"expected probabilities in steps of 1/{_STEPS}, got {steps.dtype}")
        steps = steps.reshape(shape)
        if steps.any():
            by_rank = np.empty_like(steps)
            np.put_along_axis(by_rank, ranks.astype(np.intp), steps, axis=2)
            if (by_rank[:, :, 1:] > by_rank[:, :, :-1]).any():
                raise InputError("expected no ballot with probabilities that rise with the rank")
        return Ballots(ranks, steps)

    def _empty(self, settings: VoteSettings) -> Ballots:
        shape = (0, self.num_sets, self.num_classes)
        return Ballots(np.empty(shape, dtype=np.uint16), np.empty(shape, dtype=np.uint8))

    def _concatenated(self, votes: Sequence[Ballots]) -> Ballots:
        return Ballots(
            np.concatenate([part.ranks for part in votes]),
            np.concatenate([part.steps for part in votes]),
        )

    def _by_preference(self, joined: Stored[Ballots]) -> NDArray[np.int64]:
        return np.argsort(~joined.votes.has_probabilities, kind="stable")


def ranks_of(scores: NDArray[np.floating]) -> NDArray[np.integer]:
    """Rank of each class by falling score, the smaller index first where two are equal.

    Args:
        scores: `(images, sets, classes)`.
    """
    order = np.argsort(-scores, axis=2, kind="stable")
    classes = scores.shape[2]
    ranks = np.empty(scores.shape, dtype=np.min_scalar_type(classes - 1))
    np.put_along_axis(ranks, order, np.arange(classes, dtype=ranks.dtype), axis=2)
    return ranks


def steps_of(logits: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The softmax of `(images, sets, classes)` logits in steps of 1/255, rounded to the nearest.

    The most likely class of a ballot has at least half a step, up to 510 classes; beyond, it is
    given one, so that no ballot is all 0.
    """
    finite = np.clip(logits.astype(np.float64), -1e300, 1e300)
    shares = np.exp(finite - finite.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    steps: NDArray[np.uint8] = np.rint(shares * _STEPS).astype(np.uint8)
    first = logits.argmax(axis=2)[:, :, None]
    most = np.maximum(np.take_along_axis(steps, first, axis=2), 1)
    np.put_along_axis(steps, first, most, axis=2)
    return steps
