"""Queries to a smoothed classifier: sequential, and without asking twice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sparsecert.attacks.early import EarlyAnswer, looks
from sparsecert.attacks.query import Cost, Version
from sparsecert.certification import predict_tally
from sparsecert.errors import InputError
from sparsecert.followed import nobody
from sparsecert.lanes import run_side_by_side
from sparsecert.rankings import first_choices
from sparsecert.smoothing import SmoothedClassifier
from sparsecert.streams import Stage, stream
from sparsecert.voter import Lane

_UNKNOWN = -1
_NEVER_ABSTAIN = 1 - 1e-9  # as PREDICT's alpha: only a tie is an abstention
# Confirmations of image i draw from the streams i * 1000, i * 1000 + 1, ...
_CONFIRMATIONS = 1_000


class BallotQueries:
    """Questions about one image to a smoothed classifier.

    All versions of the image are asked about on one pool of n ablations, so that two of them are
    told apart by what changed and not by chance. A ballot that retains no changed feature has the
    answer it had for the version before, and is not drawn again: after a change of one feature
    that is a share 1 - k/d of the pool. A query looks at growing portions of the ballots that are
    not known and ends once `EarlyAnswer` knows the rest will not matter. A search fits its image
    to the pool, so no success is taken from it: `confirm` draws fresh ballots, n of them, and
    applies PREDICT.

    Args:
        smoothed: the attacked classifier, with a design that retains features.
        image: one input, as a batch of 1.
        label: its correct class.
        num_samples: n.
        alpha: PREDICT's.
        seed: of the random streams.
        index: of the image in its data set.
        num_search: ballots of the pool that `lead` looks at.
        num_gradient: fresh ballots that `soft_lead` averages over.
    """

    def __init__(
        self,
        smoothed: SmoothedClassifier,
        image: Tensor,
        label: int,
        *,
        num_samples: int,
        alpha: float,
        seed: int,
        index: int,
        num_search: int = 1_000,
        num_gradient: int = 256,
    ) -> None:
        self.smoothed, self.original, self.label = smoothed, image[0], label
        self.num_samples, self.alpha, self.seed, self.index = num_samples, alpha, seed, index
        self.num_search, self.num_gradient = min(num_search, num_samples), num_gradient
        self.cost, self.abstains = Cost(), True
        pool = stream(seed, Stage.ATTACK_SEARCH, index)
        self._masks = smoothed.ablation.draw(pool, num_samples)
        if self._masks.dtype != np.bool_:
            raise InputError(
                f"expected an ablation, whose samples retain features, got {smoothed.ablation!r}; "
                "attacks on noise are not built"
            )
        self._gradients = stream(seed, Stage.ATTACK_GRADIENT, index)
        self._early = {
            strict: EarlyAnswer(num_samples, smoothed.num_classes, level)
            for strict, level in ((False, alpha), (True, _NEVER_ABSTAIN))
        }
        self._limit = smoothed.pass_size(image)
        with smoothed.evaluating():
            self._lanes = smoothed.lanes(image, num_samples)

    def version(self, image: Tensor) -> Version:
        """A version of which nothing is known."""
        return Version(image, np.full(self.num_samples, _UNKNOWN, dtype=np.int16))

    def change(self, version: Version, image: Tensor, features: NDArray[np.int64]) -> Version:
        """A version that differs in these features: what retains none of them stays known."""
        touched = np.asarray(self._masks[:, features].any(axis=1))
        answers = np.where(touched, np.int16(_UNKNOWN), version.answers)
        return Version(image, answers, version, touched)

    def fooled(self, versions: Sequence[Version], *, strict: bool = False) -> NDArray[np.bool_]:
        """Whether PREDICT would misclassify, or abstain, with the pool's n ballots."""
        questions = [_Question(self, version, self._early[strict]) for version in versions]
        open_ones = [question for question in questions if not question.is_answered()]
        while open_ones:
            portions = [question.next_portion() for question in open_ones]
            self._ask([question.version for question in open_ones], portions)
            open_ones = [question for question in open_ones if not question.is_answered()]
        for question in questions:
            self._charge(self.num_samples, question.num_known, question.num_seen)
        return np.array([question.answer for question in questions], dtype=np.bool_)

    def clearly_fooled(self, versions: Sequence[Version]) -> NDArray[np.bool_]:
        """Whether a rival leads on `num_search` ballots, by two standard errors and more.

        The lead's standard error is at most 1 / sqrt(num_search).
        """
        return self.lead(versions) <= -2 / math.sqrt(self.num_search)

    def lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """Share of votes for the correct class minus the best rival's, on `num_search` ballots."""
        first = np.arange(self.num_search)
        unknown = [first[version.answers[first] == _UNKNOWN] for version in versions]
        self._ask(versions, unknown)
        for missing in unknown:
            self._charge(self.num_search, self.num_search - len(missing), len(missing))
        return np.array([self._lead_of(version.answers[first]) for version in versions])

    def soft_lead(self, image: Tensor) -> tuple[Tensor, float]:
        """The lead in mean softmax shares, differentiable in the image, and in votes."""
        masks = self.smoothed.ablation.draw(self._gradients, self.num_gradient)
        shares, answers = [], []
        for start in range(0, len(masks), self._limit):
            portion = torch.from_numpy(masks[start : start + self._limit])
            logits = self.smoothed.logits(image[None], portion).float()
            shares.append(functional.softmax(logits, dim=1))
            answers.append(_classes(logits.detach()))
        self._charge(self.num_gradient, 0, self.num_gradient)
        mean = torch.cat(shares).mean(dim=0)
        others = torch.arange(len(mean), device=mean.device) != self.label
        return mean[self.label] - mean[others].max(), self._lead_of(np.concatenate(answers))

    def confirm(self, image: Tensor) -> int:
        """PREDICT with n fresh ballots."""
        name = self.index * _CONFIRMATIONS + self.cost.confirmations
        self.cost.confirmations += 1
        self._charge(self.num_samples, 0, self.num_samples)
        tally = self.smoothed.tally(
            image[None],
            self.num_samples,
            Stage.ATTACK_CONFIRMATION,
            self.seed,
            [name],
            followed=nobody(1),
        )
        return int(predict_tally(tally, self.alpha).label[0])

    def votes(self, answers: NDArray[np.int16]) -> NDArray[np.int64]:
        """`(classes,)` counts of known answers."""
        return np.bincount(answers, minlength=self.smoothed.num_classes)

    def _lead_of(self, answers: NDArray[np.int16]) -> float:
        counts = self.votes(answers)
        return float(counts[self.label] - np.delete(counts, self.label).max()) / len(answers)

    def _charge(self, needed: int, known: int, drawn: int) -> None:
        self.cost.queries += 1
        self.cost.drawn += drawn
        self.cost.cached += known
        self.cost.skipped += needed - known - drawn

    def _ask(self, versions: Sequence[Version], portions: Sequence[NDArray[np.int64]]) -> None:
        """Run the network on these ballots of each version, in full passes over all of them."""
        rows = np.repeat(np.arange(len(versions)), [len(portion) for portion in portions])
        ballots = np.concatenate(portions)
        if not len(rows):
            return
        images = self.smoothed.on_device(torch.stack([version.image for version in versions]))
        lanes = self._lanes if len(rows) > self._limit // 2 else self._lanes[:1]
        passes = len(lanes) * math.ceil(len(rows) / (len(lanes) * self._limit))
        workers = [partial(self._answer, images, lane) for lane in lanes]
        parts = np.array_split(np.arange(len(rows)), passes)
        with self.smoothed.evaluating():
            answered = run_side_by_side([(rows[part], ballots[part]) for part in parts], workers)
        for row, ballot, answers in itertools.chain.from_iterable(answered):
            for number in np.unique(row):
                _learn(versions[number], ballot[row == number], answers[row == number])

    def _answer(
        self, images: Tensor, lane: Lane, passes: Iterator[tuple[NDArray[np.int64], ...]]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]]:
        """Rows of images, ballots, and answers of the passes that this lane takes."""
        images, found = images.to(lane.device), []
        with torch.inference_mode():
            for row, ballot in passes:
                mask = torch.from_numpy(self._masks[ballot])
                logits = self.smoothed.cast(images[torch.from_numpy(row)], mask, lane.forward)
                found.append((row, ballot, _classes(logits)))
        return found


class _Question:
    """One `fooled` in progress.

    Args:
        queries: who asks.
        version: about what.
        early: tells the answer from a part of the ballots.
    """

    def __init__(self, queries: BallotQueries, version: Version, early: EarlyAnswer) -> None:
        self.version = version
        self.unknown = np.flatnonzero(version.answers == _UNKNOWN)
        self.num_known = len(version.answers) - len(self.unknown)
        self.num_seen = 0
        self.answer: bool | None = None
        self._queries, self._early = queries, early
        self._known = queries.votes(version.answers[version.answers != _UNKNOWN])
        self._looks = iter(looks(len(self.unknown)))

    def is_answered(self) -> bool:
        """Try to answer with what has been seen."""
        seen = self._queries.votes(self.version.answers[self.unknown[: self.num_seen]])
        unseen = len(self.unknown) - self.num_seen
        self.answer = self._early(self._known, seen, unseen, self._queries.label)
        return self.answer is not None

    def next_portion(self) -> NDArray[np.int64]:
        """The ballots to look at next."""
        start, self.num_seen = self.num_seen, next(self._looks)
        return self.unknown[start : self.num_seen]


def _learn(version: Version, ballots: NDArray[np.int64], answers: NDArray[np.int16]) -> None:
    """Write down answers, for the parent too where a ballot cannot tell the two apart."""
    version.answers[ballots] = answers
    if version.parent is not None and version.touched is not None:
        same = ~version.touched[ballots]
        version.parent.answers[ballots[same]] = answers[same]


def _classes(logits: Tensor) -> NDArray[np.int16]:
    return first_choices(logits).cpu().numpy().astype(np.int16)
