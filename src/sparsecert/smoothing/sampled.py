"""The smoothed classifier: a base classifier's vote over random ablations of its input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsecert.certification import (
    Certification,
    Prediction,
    certify_tally,
    predict_tally,
    select_label,
)
from sparsecert.designs.design import Design, check_sampled
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.errors import InputError, as_integer, check_num_samples, check_sampling
from sparsecert.smoothing.encoding import Encoding, NoiseEncoding
from sparsecert.smoothing.parallel import run_side_by_side
from sparsecert.smoothing.sequential import certify_sequentially, predict_sequentially
from sparsecert.smoothing.shortlist import shortlist
from sparsecert.smoothing.voter import Lane, Voter
from sparsecert.streams import Stage, stream
from sparsecert.theory import check_rule
from sparsecert.votes.rankings import count_followed, count_pairs, first_choices
from sparsecert.votes.tally import Tally, follows_few
from sparsecert.votes.tracked_classes import check_followed, nobody


class SmoothedClassifier(Voter):
    """g of the paper: the class that the base classifier gives to most ablations of an input.

    Inputs are `(batch, channels, height, width)` images, whose features are pixels, or
    `(batch, features)` vectors, as floating-point tensors with values in [0, 1].

    Args:
        base: any module from encoded inputs to `(batch, num_classes)` logits, trained on ablated
            inputs. Votes are cast on its device, in evaluation mode.
        ablation: which features are retained: a `UniformAblation` (or the noise it is compared
            with, a `DiscreteNoise`, with the encoding that applies it).
        num_classes: outputs of `base`.
        encoding: "two-channel", or an `Encoding` such as `MeanEncoding(mean)`.
        ballots_per_pass: ablated inputs per forward pass; by default as many as fit in 64 MiB;
            on a CPU in 8 MiB, and at most 256. Never are all ablations of an input in memory at
            once.
        precision: "float32", or "bfloat16" for a base classifier trained in it: about twice as
            fast on hardware made for it.
        compile: run the base classifier through `torch.compile`. Pays on long certifications.
        devices: where passes run side by side, such as ["cuda:0", "cuda:1"]; by default on the
            device of `base`, on a CPU as many passes as torch has threads, each on one core.

    Votes depend on neither `ballots_per_pass` nor `devices`, nor on the batch or its order, except
    where two logits are equal up to floating-point error, which may differ between sizes of a pass
    and machines.
    """

    def __init__(
        self,
        base: nn.Module,
        ablation: Design,
        num_classes: int,
        encoding: str | Encoding = "two-channel",
        *,
        ballots_per_pass: int | None = None,
        precision: str = "float32",
        compile: bool = False,
        devices: Sequence[str | torch.device] | None = None,
    ) -> None:
        check_sampled(ablation)
        super().__init__(
            base,
            ablation.num_features,
            ablation.features_of,
            num_classes,
            encoding,
            ballots_per_pass=ballots_per_pass,
            precision=precision,
            compile=compile,
            devices=devices,
        )
        self.ablation = ablation
        _check_fit(ablation, self.encoding)

    def predict(
        self,
        x: Tensor,
        num_samples: int = 10_000,
        alpha: float = 0.05,
        seed: int = 0,
        rule: str = "majority",
        *,
        sampling: str = "fixed",
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Prediction:
        """PREDICT: the class of the rule's g with probability at least 1 - alpha, or an abstention.

        Args:
            x: inputs.
            num_samples: ablations per input; where sampling is sequential, at most.
            alpha: probability of a wrong answer.
            seed: names the random streams, together with `indices`.
            rule: whose smoothed classifier is meant: "majority" and "margin" answer with the class
                of most votes, "pairwise" with the one that beats every other head to head.
            sampling: "fixed", or "sequential": stop once a class can be named, or none will be.
            indices: each input's index in its data set; 0, 1, ... by default.
        """
        check_rule(alpha, rule)
        if check_sampling(sampling) == "sequential":
            return predict_sequentially(self, x, num_samples, alpha, seed, rule, indices)
        votes = self.tally(x, num_samples, Stage.PREDICTION, seed, indices)
        return predict_tally(votes, alpha, rule)

    def certify(
        self,
        x: Tensor,
        num_selection: int = 1_000,
        num_samples: int = 10_000,
        alpha: float = 0.05,
        seed: int = 0,
        rule: str = "majority",
        *,
        sampling: str = "fixed",
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Certification:
        """CERTIFY: choose a class from some ablations, bound its share from fresh ones.

        Args:
            x: inputs.
            num_selection: ablations that choose the class (n0).
            num_samples: ablations that estimate its share (n); where sampling is sequential, at
                most.
            alpha: error probability of each certificate.
            seed: names the random streams, together with `indices`.
            rule: "majority" (Corollary 1), "margin" (Corollary 2) or "pairwise".
            sampling: "fixed", or "sequential": stop where no larger radius is to be expected. The
                guarantee is the same.
            indices: each input's index in its data set; 0, 1, ... by default.
        """
        check_rule(alpha, rule)
        check_num_samples(num_selection, "num_selection")
        check_num_samples(num_samples)
        sequential = check_sampling(sampling) == "sequential"
        followed = shortlist(self, x, seed, indices)
        selection = self.tally(x, num_selection, Stage.SELECTION, seed, indices, followed=followed)
        label = select_label(selection, rule)
        if sequential:
            return certify_sequentially(
                self, x, label, num_samples, alpha, seed, rule, indices, followed
            )
        estimation = self.tally(x, num_samples, Stage.ESTIMATION, seed, indices, followed=followed)
        return certify_tally(estimation, label, self.ablation, alpha, rule)

    def tally(
        self,
        x: Tensor,
        num_samples: int,
        stage: Stage,
        seed: int = 0,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        followed: NDArray[np.int64] | None = None,
    ) -> Tally:
        """Count the base classifier's rankings on random ablations of each input.

        Head-to-head counts are recorded of all classes up to `MOST_CLASSES_HEAD_TO_HEAD`, and
        beyond of a shortlist of each input's own, for which 100 more ablations are drawn.

        Args:
            x: inputs.
            num_samples: ablations per input.
            stage: what the ablations are for. Those of different stages are independent; within a
                stage a larger tally contains the smaller ones.
            seed: names the random streams, together with `stage` and `indices`.
            indices: each input's index in its data set; 0, 1, ... by default.
            followed: `(batch, F)` classes whose head-to-head counts are recorded instead; any do,
                and with none (F = 0) first choices alone are counted.

        Raises:
            InputError: for inputs of the wrong type, shape or range, or a base classifier that
                does not take them, or does not give `num_classes` logits, or gives NaN.
        """
        check_num_samples(num_samples)
        generators = self.streams(x, stage, seed, indices)
        if followed is None:
            followed = shortlist(self, x, seed, indices)
        return self.count(x, generators, num_samples, followed)

    def streams(
        self,
        x: Tensor,
        stage: Stage,
        seed: int = 0,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> list[np.random.Generator]:
        """The stream of each input's ablations; arguments and errors are those of `tally`."""
        self.check(x)
        given = range(len(x)) if indices is None else indices
        names = [as_integer(index, "index") for index in given]
        if len(names) != len(x):
            raise InputError(f"expected one index for each of {len(x)} inputs, got {len(names)}")
        return [stream(seed, stage, name) for name in names]

    def count(
        self,
        x: Tensor,
        generators: list[np.random.Generator],
        num_samples: int,
        followed: NDArray[np.int64] | None = None,
    ) -> Tally:
        """Count the next ballots of each input's stream; see `tally`.

        Where no followed classes are given, rankings are counted of all classes up to
        `MOST_CLASSES_HEAD_TO_HEAD`, and of none beyond.
        """
        if followed is None and follows_few(self.num_classes):
            followed = nobody(len(x))
        if followed is not None:
            check_followed(followed, len(x), self.num_classes)
        counts, pairs = self._no_counts(len(x), followed)
        if generators:
            x = self.on_device(x)
            with self.evaluating():
                lanes = self.lanes(x, len(x) * num_samples)
                passes = self._passes(generators, num_samples, x, len(lanes))
                workers = [partial(self._count, x, followed, lane) for lane in lanes]
                for first, rankings in run_side_by_side(passes, workers):
                    counts += first
                    pairs += rankings
        if followed is not None and not followed.shape[1]:
            return Tally(counts)
        return Tally(counts, pairs, followed)

    def _no_counts(
        self, batch: int, followed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Zeros for first choices and for rankings."""
        classes = self.num_classes
        size = classes if followed is None else followed.shape[1]
        pairs = np.zeros((batch, size, classes), dtype=np.int64)
        return np.zeros((batch, classes), dtype=np.int64), pairs

    def _count(
        self,
        x: Tensor,
        followed: NDArray[np.int64] | None,
        lane: Lane,
        passes: Iterator[tuple[NDArray[np.int64], Tensor]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First choices and rankings in the passes that this lane takes."""
        x = x.to(lane.device)
        counts, pairs = self._no_counts(len(x), followed)
        with torch.inference_mode():
            for rows, mask in passes:
                source = x[rows[:1]] if rows[0] == rows[-1] else x[torch.from_numpy(rows)]
                logits = self.cast(source, mask, lane.forward)
                np.add.at(counts, (rows, first_choices(logits).cpu().numpy()), 1)
                here, owners = slice(int(rows[0]), int(rows[-1]) + 1), rows - rows[0]
                if followed is None:
                    pairs[here] += count_pairs(logits, owners, int(owners[-1]) + 1)
                else:
                    pairs[here] += count_followed(logits, owners, followed[here])
        return counts, pairs

    def base_answers(self, x: Tensor, mask: Tensor) -> NDArray[np.int64]:
        """The base classifier's classes for given ablations of one input.

        Args:
            x: one input, as a batch of 1.
            mask: `(samples, features)`, as the design draws it: the features each sample retains.

        Returns:
            `(samples,)` classes.
        """
        self.check(x)
        if mask.ndim != 2 or mask.shape[1] != self.ablation.num_features or len(x) != 1:
            raise InputError(
                f"expected one input and a mask of shape (samples, {self.ablation.num_features}), "
                f"got {len(x)} inputs and {tuple(mask.shape)}"
            )
        with torch.inference_mode(), self.evaluating():
            logits = self.cast(self.on_device(x), mask)
        choices: NDArray[np.int64] = first_choices(logits).cpu().numpy()
        return choices

    def few_ballots(
        self, x: Tensor, number: int, generator: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """A few ballots on one input, to be shown.

        Args:
            x: one input, as a batch of 1.
            number: of ballots.
            generator: draws them.

        Returns:
            `(number, features)`, as the design draws it, and `(number,)` classes.
        """
        drawn = self.ablation.draw(generator, number)
        return drawn, self.base_answers(x, torch.from_numpy(drawn))

    def _passes(
        self, generators: list[np.random.Generator], num_samples: int, x: Tensor, num_lanes: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Rows of x and masks of each pass: all ballots in order, in equal portions.

        There are as many passes for each lane, so that none waits for another's last one.
        """
        limit = self.pass_size(x)
        total = len(generators) * num_samples
        num_passes = num_lanes * math.ceil(total / (num_lanes * limit))
        for portion in range(num_passes):
            start, stop = (total * end // num_passes for end in (portion, portion + 1))
            rows = np.arange(start, stop) // num_samples
            drawn = [
                self.ablation.draw(generators[row], int(count))
                for row, count in zip(*np.unique(rows, return_counts=True), strict=True)
            ]
            yield rows, torch.from_numpy(drawn[0] if len(drawn) == 1 else np.concatenate(drawn))


def _check_fit(design: Design, encoding: Encoding) -> None:
    """An encoding that does not apply what the design draws would make certificates wrong."""
    wanted = NoiseEncoding(design.num_values) if isinstance(design, DiscreteNoise) else None
    if wanted != (encoding if isinstance(encoding, NoiseEncoding) else None):
        raise InputError(
            "expected NoiseEncoding(num_values) with a DiscreteNoise of as many values, and with "
            f"nothing else; got {encoding} with {design!r}"
        )
