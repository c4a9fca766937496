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

from sparsecert.attacks.early import EarlyAnswer, looks
from sparsecert.attacks.query import Cost, InputUnits, Version
from sparsecert.attacks.reading import READINGS, Reading
from sparsecert.errors import InputError
from sparsecert.smoothing.parallel import run_parallel
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.smoothing.voter import Worker
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples

_UNKNOWN = -1
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
        rule: whose PREDICT is asked, a key of `READINGS`.
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
        rule: str = "majority",
    ) -> None:
        self.smoothed, self.original, self.label = smoothed, image[0], label
        self.num_samples, self.seed, self.index = num_samples, seed, index
        self.num_search, self.num_gradient = min(num_search, num_samples), num_gradient
        self.cost, self.abstains = Cost(), True
        self.units = InputUnits(self.original, smoothed.ablation.owner)
        pool = samples(seed, Stage.ATTACK_SEARCH, index, num_samples)
        self._masks = smoothed.ablation.draw(pool)
        if self._masks.dtype != np.bool_:
            raise InputError(
                f"expected an ablation, whose samples retain features, got {smoothed.ablation!r}; "
                "attacks on noise are not built"
            )
        self._gradients = 0  # ballots drawn for them
        self.reading: Reading = READINGS[rule](num_samples, smoothed.num_classes, label, alpha)
        self._limit = smoothed.pass_size(image)
        with smoothed.evaluating():
            self._workers = smoothed.workers(image, num_samples)

    def version(self, image: Tensor) -> Version:
        """A version of which nothing is known."""
        return Version(image, np.full(self.num_samples, _UNKNOWN, dtype=np.int64))

    def change(self, version: Version, image: Tensor, units: NDArray[np.int64]) -> Version:
        """A version that differs in these units: what retains none of them stays known."""
        touched = np.asarray(self._masks[:, self.units.entries(units)].any(axis=1))
        answers = np.where(touched, np.int64(_UNKNOWN), version.answers)
        return Version(image, answers, version, touched)

    def fooled(self, versions: Sequence[Version], *, strict: bool = False) -> NDArray[np.bool_]:
        """Whether PREDICT would misclassify, or abstain, with the pool's n ballots."""
        questions = [_Question(self, version, self.reading.early[strict]) for version in versions]
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
        """The share of ballots by which the best rival is led, on `num_search` of them."""
        first = np.arange(self.num_search)
        unknown = [first[version.answers[first] == _UNKNOWN] for version in versions]
        self._ask(versions, unknown)
        for missing in unknown:
            self._charge(self.num_search, self.num_search - len(missing), len(missing))
        return np.array([self._lead_of(version.answers[first]) for version in versions])

    def soft_lead(self, image: Tensor) -> tuple[Tensor, float]:
        """The lead counted softly, differentiable in the image, and in ballots."""
        name = self.seed, Stage.ATTACK_GRADIENT, self.index
        fresh = samples(*name, self.num_gradient, first=self._gradients)
        self._gradients += self.num_gradient
        masks = self.smoothed.ablation.draw(fresh)
        logits = torch.cat(
            [
                self.smoothed.logits(image[None], torch.from_numpy(portion)).float()
                for portion in np.split(masks, range(self._limit, len(masks), self._limit))
            ]
        )
        self._charge(self.num_gradient, 0, self.num_gradient)
        answers = self.reading.read(logits.detach())
        return self.reading.soft_lead(logits), self._lead_of(answers)

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
            tracked=self.reading.tracked,
        )
        return self.reading.predict(tally)

    def _lead_of(self, answers: NDArray[np.int64]) -> float:
        leads = self.reading.early[False].leads(self.reading.count(answers), self.label)
        return float(np.delete(leads, self.label).min()) / len(answers)

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
        workers = self._workers if len(rows) > self._limit // 2 else self._workers[:1]
        passes = len(workers) * math.ceil(len(rows) / (len(workers) * self._limit))
        answer = [partial(self._answer, images, worker) for worker in workers]
        parts = np.array_split(np.arange(len(rows)), passes)
        with self.smoothed.evaluating():
            answered = run_parallel([(rows[part], ballots[part]) for part in parts], answer)
        for row, ballot, answers in itertools.chain.from_iterable(answered):
            for number in np.unique(row):
                _learn(versions[number], ballot[row == number], answers[row == number])

    def _answer(
        self, images: Tensor, worker: Worker, passes: Iterator[tuple[NDArray[np.int64], ...]]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Rows of images, ballots, and answers of the passes that this worker takes."""
        images, found = images.to(worker.device), []
        with torch.inference_mode():
            for row, ballot in passes:
                mask = torch.from_numpy(self._masks[ballot])
                logits = self.smoothed.cast(images[torch.from_numpy(row)], mask, worker.forward)
                found.append((row, ballot, self.reading.read(logits)))
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
        self._known = queries.reading.count(version.answers[version.answers != _UNKNOWN])
        self._looks = iter(looks(len(self.unknown)))

    def is_answered(self) -> bool:
        """Try to answer with what has been seen."""
        seen = self._queries.reading.count(self.version.answers[self.unknown[: self.num_seen]])
        unseen = len(self.unknown) - self.num_seen
        self.answer = self._early(self._known, seen, unseen, self._queries.label)
        return self.answer is not None

    def next_portion(self) -> NDArray[np.int64]:
        """The ballots to look at next."""
        start, self.num_seen = self.num_seen, next(self._looks)
        return self.unknown[start : self.num_seen]


def _learn(version: Version, ballots: NDArray[np.int64], answers: NDArray[np.int64]) -> None:
    """Write down answers, for the parent too where a ballot cannot tell the two apart."""
    version.answers[ballots] = answers
    if version.parent is not None and version.touched is not None:
        same = ~version.touched[ballots]
        version.parent.answers[ballots[same]] = answers[same]
