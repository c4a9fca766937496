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
from sparsecert.attacks.known import UNKNOWN, KnownBallots
from sparsecert.attacks.query import Cost, InputUnits, Version
from sparsecert.attacks.reading import READINGS, Reading
from sparsecert.errors import InputError
from sparsecert.smoothing.parallel import run_parallel
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.smoothing.voter import Worker
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples

# Confirmations of image i draw from the streams i * 1000, i * 1000 + 1, ...
_CONFIRMATIONS = 1_000
_FINER = 3  # times the ballots of a lead have a fine one


class BallotQueries:
    """Questions about one image to a smoothed classifier.

    All versions of the image are asked about on one pool of n ablations, so that two of them are
    told apart by what changed and not by chance. A ballot that retains what it retained of a
    version before has the same answer, and is not drawn again: after a change of one feature that
    is a share 1 - k/d of the pool, and more where the feature was tried before. A query looks at
    growing portions of the ballots that are not known and ends once `EarlyAnswer` knows the rest
    will not matter. A search fits its image to the pool, so no success is taken from it: `confirm`
    draws fresh ballots, n of them, and applies PREDICT.

    Args:
        smoothed: the attacked classifier, with a design that retains features.
        image: one input, as a batch of 1.
        label: its correct class.
        num_samples: n.
        alpha: PREDICT's.
        seed: of the random streams.
        index: of the image in its data set.
        num_search: ballots of the pool that `lead` looks at; `fine_lead` at three times as many.
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
        self._known = KnownBallots(self.original, self._masks, smoothed.num_classes)
        self._gradients = 0  # ballots drawn for them
        self.reading: Reading = READINGS[rule](num_samples, smoothed.num_classes, label, alpha)
        self._limit = smoothed.pass_size(image)
        with smoothed.evaluating():
            self._workers = smoothed.workers(image, num_samples)

    def version(self, image: Tensor) -> Version:
        """A version of which nothing has been looked up."""
        unknown = np.full(self.num_samples, UNKNOWN, dtype=np.int64)
        return Version(image, self._known.keys(image), unknown)

    def change(self, version: Version, image: Tensor, units: NDArray[np.int64]) -> Version:
        """A version that differs in these units: what sees none of them stays known."""
        entries = self.units.entries(units)
        keys = self._known.moved(version.keys, version.image, image, entries)
        return Version(image, keys, np.where(keys == version.keys, version.rows, UNKNOWN))

    def fooled(self, versions: Sequence[Version], *, strict: bool = False) -> NDArray[np.bool_]:
        """Whether PREDICT would misclassify, or abstain, with the pool's n ballots."""
        questions = [_Question(self, version, self.reading.early[strict]) for version in versions]
        open_ones = [question for question in questions if not question.is_answered()]
        while open_ones:
            portions = [question.next_portion() for question in open_ones]
            drawn = self._ask([question.version for question in open_ones], portions)
            for question, number in zip(open_ones, drawn, strict=True):
                question.num_drawn += number
            open_ones = [question for question in open_ones if not question.is_answered()]
        for question in questions:
            looked_at = self.num_samples - len(question.unknown) + question.num_seen
            self._charge(self.num_samples, looked_at - question.num_drawn, question.num_drawn)
        return np.array([question.answer for question in questions], dtype=np.bool_)

    def clearly_fooled(self, versions: Sequence[Version]) -> NDArray[np.bool_]:
        """Whether a rival leads on `num_search` ballots, by two standard errors and more.

        The lead's standard error is at most 1 / sqrt(num_search).
        """
        return self.lead(versions) <= -2 / math.sqrt(self.num_search)

    def lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """The share of ballots by which the best rival is led, on `num_search` of them."""
        rows = self._rows(versions, self.num_search)
        return np.array([self._lead_of(self._known.answers[row]) for row in rows])

    def fine_lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """The lead in mean shares, on three times as many ballots."""
        rows = self._rows(versions, min(_FINER * self.num_search, self.num_samples))
        means = (self._known.shares[row].mean(axis=0, dtype=np.float64) for row in rows)
        return np.array([float(self.reading.soft_lead(torch.from_numpy(mean))) for mean in means])

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
        soft = self.reading.soft_lead(self.reading.shares(logits).mean(dim=0))
        return soft, self._lead_of(self.reading.read(logits.detach()))

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

    def _rows(self, versions: Sequence[Version], number: int) -> list[NDArray[np.int64]]:
        """Where it is kept what the first ballots of the pool said, all of them cast."""
        for drawn in self._ask(versions, [np.arange(number)] * len(versions)):
            self._charge(number, number - drawn, drawn)
        return [version.rows[:number] for version in versions]

    def _lead_of(self, answers: NDArray[np.int64]) -> float:
        leads = self.reading.early[False].leads(self.reading.count(answers), self.label)
        return float(np.delete(leads, self.label).min()) / len(answers)

    def _charge(self, needed: int, known: int, drawn: int) -> None:
        self.cost.queries += 1
        self.cost.drawn += drawn
        self.cost.cached += known
        self.cost.skipped += needed - known - drawn

    def count(self, version: Version, ballots: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(classes,)` counts of ballots that are known of a version."""
        return self.reading.count(self._known.answers[version.rows[ballots]])

    def look_up(self, version: Version, ballots: NDArray[np.int64]) -> None:
        """Write down which of these ballots were cast before, on whichever version."""
        version.rows[ballots] = self._known.find(version.keys[ballots])

    def _ask(self, versions: Sequence[Version], portions: Sequence[NDArray[np.int64]]) -> list[int]:
        """Cast those of these ballots of each version that were not cast yet.

        Returns:
            How many went through the network, by version; one that several see alike is counted
            for the first.
        """
        new: dict[int, tuple[int, int]] = {}
        drawn, asked = [], []
        for number, (version, portion) in enumerate(zip(versions, portions, strict=True)):
            missing = portion[version.rows[portion] == UNKNOWN]
            self.look_up(version, missing)
            missing = missing[version.rows[missing] == UNKNOWN]
            before = len(new)
            for ballot, key in zip(missing.tolist(), version.keys[missing].tolist(), strict=True):
                new.setdefault(key, (number, ballot))
            drawn.append(len(new) - before)
            asked.append(missing)
        if new:
            self._cast([version.image for version in versions], new)
            for version, missing in zip(versions, asked, strict=True):
                self.look_up(version, missing)
        return drawn

    def _cast(self, images: Sequence[Tensor], new: dict[int, tuple[int, int]]) -> None:
        """Run the network on ballots, by key: number of the image, and of the ballot."""
        keys, rows = np.array(list(new), dtype=np.uint64), np.array(list(new.values()))
        stacked = self.smoothed.on_device(torch.stack(list(images)))
        workers = self._workers if len(rows) > self._limit // 2 else self._workers[:1]
        passes = len(workers) * math.ceil(len(rows) / (len(workers) * self._limit))
        answer = [partial(self._answer, stacked, worker) for worker in workers]
        parts = np.array_split(np.arange(len(rows)), passes)
        with self.smoothed.evaluating():
            answered = run_parallel([(part, rows[part]) for part in parts], answer)
        for part, answers, shares in itertools.chain.from_iterable(answered):
            self._known.add(keys[part], answers, shares)

    def _answer(
        self, images: Tensor, worker: Worker, passes: Iterator[tuple[NDArray[np.int64], ...]]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float16]]]:
        """Numbers of the ballots that this worker casts, what is kept of them, and shares."""
        images, found = images.to(worker.device), []
        with torch.inference_mode():
            for part, rows in passes:
                mask = torch.from_numpy(self._masks[rows[:, 1]])
                logits = self.smoothed.cast(
                    images[torch.from_numpy(rows[:, 0])], mask, worker.forward
                )
                shares = self.reading.shares(logits).half().cpu().numpy()
                found.append((part, self.reading.read(logits), shares))
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
        queries.look_up(version, np.flatnonzero(version.rows == UNKNOWN))
        self.unknown = np.flatnonzero(version.rows == UNKNOWN)
        self.num_seen = self.num_drawn = 0
        self.answer: bool | None = None
        self._queries, self._early = queries, early
        self._known = queries.count(version, np.flatnonzero(version.rows != UNKNOWN))
        self._looks = iter(looks(len(self.unknown)))

    def is_answered(self) -> bool:
        """Try to answer with what has been seen."""
        seen = self._queries.count(self.version, self.unknown[: self.num_seen])
        unseen = len(self.unknown) - self.num_seen
        self.answer = self._early(self._known, seen, unseen, self._queries.label)
        return self.answer is not None

    def next_portion(self) -> NDArray[np.int64]:
        """The ballots to look at next."""
        start, self.num_seen = self.num_seen, next(self._looks)
        return self.unknown[start : self.num_seen]
