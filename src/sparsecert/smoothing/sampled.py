"""The smoothed classifier: a base classifier's vote over random ablations of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.certification import (
    Certification,
    Prediction,
    Stop,
    certify_by_look,
    certify_tally,
    check_reachable,
    check_target,
    name_by_look,
    predict_tally,
    select_label,
    stop,
)
from sparsecert.designs.design import SampledDesign, sampled
from sparsecert.errors import InputError, as_integer, check_num_samples
from sparsecert.rules import check_rule
from sparsecert.smoothing.counting import StopRule, count_ballots, count_looks
from sparsecert.smoothing.encoding import Encoding
from sparsecert.smoothing.shortlist import shortlist
from sparsecert.smoothing.voter import Voter
from sparsecert.streams import Stage, fresh_seed
from sparsecert.streams.samples import SampleStream, sample_stream, samples
from sparsecert.theory.schedule import ALPHA, NUM_SAMPLES, NUM_SELECTION, look_schedule
from sparsecert.votes.rankings import first_choices
from sparsecert.votes.tally import Tally, most_tracked
from sparsecert.votes.tracked_classes import track_nothing, tracks_few


class SmoothedClassifier(Voter):
    """g of the paper: the class that the base classifier gives to most ablations of an input.

    Inputs are `(batch, channels, height, width)` images, whose features are pixels, or
    `(batch, features)` vectors, as floating-point tensors with values in [0, 1].

    Args:
        base: trained on ablated inputs: from a batch of encoded inputs to `(batch, num_classes)`
            logits or probabilities, or `(batch,)` classes. A torch module, whose votes are cast on
            its device and in evaluation mode; or a function of tensors or NumPy arrays, a
            scikit-learn estimator, an ONNX Runtime session, a JAX function or an exported program.
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

    ablation: SampledDesign

    def __init__(
        self,
        base: object,
        ablation: SampledDesign,
        num_classes: int,
        encoding: str | Encoding = "two-channel",
        *,
        ballots_per_pass: int | None = None,
        precision: str = "float32",
        compile: bool = False,
        devices: Sequence[str | torch.device] | None = None,
    ) -> None:
        sampled(ablation)
        super().__init__(
            base,
            ablation,
            num_classes,
            encoding,
            ballots_per_pass=ballots_per_pass,
            precision=precision,
            compile=compile,
            devices=devices,
        )

    def predict(
        self,
        x: Tensor,
        num_samples: int = NUM_SAMPLES,
        alpha: float = ALPHA,
        seed: int | None = None,
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
            seed: names the random streams, together with `indices`; by default a fresh one, which
                the answer carries. Where inputs may depend on earlier answers, leave it out.
            rule: whose smoothed classifier is meant: "majority" and "margin" answer with the class
                of most votes, "pairwise" with the one that beats every other head to head.
            sampling: "fixed", or "sequential": stop once a class can be named, or none will be.
            indices: each input's index in its data set; 0, 1, ... by default.
        """
        self._check_rule(x, alpha, rule)
        seed = fresh_seed() if seed is None else seed

        def stops(tally: Tally, rows: NDArray[np.int64]) -> Stop:
            return stop(tally, name_by_look(tally, alpha, rule))

        votes = self.tally(
            x, num_samples, Stage.PREDICTION, seed, indices, sampling=sampling, stops=stops
        )
        return replace(predict_tally(votes, alpha, rule), seed=seed)

    def certify(
        self,
        x: Tensor,
        num_selection: int = NUM_SELECTION,
        num_samples: int = NUM_SAMPLES,
        alpha: float = ALPHA,
        seed: int | None = None,
        rule: str = "majority",
        *,
        sampling: str = "fixed",
        target: int | None = None,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Certification:
        """CERTIFY: choose a class from some ablations, bound its share from fresh ones.

        Every call draws fresh ablations unless it is given a seed: the batches of a `DataLoader`
        can be certified one by one, and inputs may be made from earlier answers. With one seed for
        several calls, give each input an index of its own.

        Args:
            x: inputs.
            num_selection: ablations that choose the class (n0).
            num_samples: ablations that estimate its share (n); where sampling is sequential, at
                most.
            alpha: error probability of each certificate.
            seed: names the random streams, together with `indices`; by default a fresh one, which
                the answer carries. Where inputs may depend on earlier answers, leave it out.
            rule: "majority" (Corollary 1), "margin" (Corollary 2) or "pairwise".
            sampling: "fixed", or "sequential": stop where no larger radius is to be expected. The
                guarantee is the same.
            target: sequential sampling only: stop as soon as it is decided whether this radius is
                certified. Other radii may then be smaller than need be.
            indices: each input's index in its data set; 0, 1, ... by default.
        """
        self._check_rule(x, alpha, rule)
        check_num_samples(num_selection, "num_selection")
        looks = look_schedule(sampling, num_samples)
        check_target(target, sampling)
        check_reachable(target, looks, self.num_classes, self.ablation, alpha, rule)
        seed = fresh_seed() if seed is None else seed
        tracked = self._shortlist(x, seed, indices)
        selection = self.tally(x, num_selection, Stage.SELECTION, seed, indices, tracked=tracked)
        label = select_label(selection, rule)

        def stops(tally: Tally, rows: NDArray[np.int64]) -> Stop:
            return stop(
                tally,
                certify_by_look(tally, label[rows], self.ablation, alpha, rule, target=target),
            )

        estimation = self.tally(
            x,
            num_samples,
            Stage.ESTIMATION,
            seed,
            indices,
            sampling=sampling,
            stops=stops,
            tracked=tracked,
        )
        certificate = certify_tally(estimation, label, self.ablation, alpha, rule, target=target)
        return replace(certificate, seed=seed)

    def tally(
        self,
        x: Tensor,
        num_samples: int,
        stage: Stage,
        seed: int | None = None,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        sampling: str = "fixed",
        stops: StopRule | None = None,
        before: Tally | None = None,
        tracked: NDArray[np.int64] | None = None,
    ) -> Tally:
        """Count the base classifier's rankings on random ablations of each input.

        Head-to-head counts are recorded of all classes up to `MOST_CLASSES_HEAD_TO_HEAD`, and
        beyond of a shortlist of each input's own, for which 100 more ablations are drawn.

        Inputs are counted side by side, so that passes through the network stay full: those that
        have stopped drop out, and the others go on to the next look.

        Args:
            x: inputs.
            num_samples: n, ablations per input; where sampling is sequential, at most.
            stage: what the ablations are for. Those of different stages are independent; within a
                stage a larger tally contains the smaller ones.
            seed: names the random streams, together with `stage` and `indices`; by default a fresh
                one, so that these ballots cannot be drawn again.
            indices: each input's index in its data set; 0, 1, ... by default.
            sampling: "fixed", or "sequential": counts at each look of its schedule.
            stops: decides after each look which inputs have been counted far enough; none before
                the last look if it is left out.
            before: what has been counted already, under the same names, n and sampling; it is gone
                on with.
            tracked: `(batch, T)` classes whose head-to-head counts are recorded instead of those of
                a shortlist; any do, and with none (T = 0) first choices alone are counted. Of
                inputs that have been counted before they stay what they were.

        Raises:
            InputError: for inputs of the wrong type, shape or range, or a base classifier that
                does not take them, or does not give `num_classes` logits, or gives NaN.
        """
        looks = look_schedule(sampling, num_samples)
        seed = fresh_seed() if seed is None else seed
        streams = self.streams(x, stage, seed, indices)
        if self._ranks_nothing(x):
            tracked = track_nothing(len(x))
        if len(looks) == 1:
            if tracked is None:
                tracked = self._shortlist(x, seed, indices)
            return count_ballots(self, self.ablation, x, streams, num_samples, tracked)
        if before is None:
            before = Tally.empty(looks, len(x), self.num_classes)
            if self.gives_classes:
                before = Tally.trusted(before.first_choice, None, None, looks)
        if before.looks != looks or len(before) != len(x):
            raise InputError(
                f"expected earlier counts of {len(x)} inputs at the looks {looks}, got "
                f"{len(before)} at {before.looks}"
            )
        lists = tracked if self.gives_classes else self._tracked(x, seed, indices, before, tracked)
        return count_looks(self, self.ablation, x, streams, before, lists, stops)

    def _check_rule(self, x: Tensor, alpha: float, rule: str) -> None:
        if check_rule(alpha, rule).needs_rankings:
            self._ranks_nothing(x)
            self.check_rankings(rule)

    def _ranks_nothing(self, x: Tensor) -> bool:
        """Whether a ballot is only a class, which the first that is cast tells."""
        if not self.has_voted and len(x):
            self.check(x)
            first = sample_stream(0, Stage.PROBE, 0)
            count_ballots(self, self.ablation, x[:1], [first], 1, track_nothing(1))
        return self.gives_classes

    def streams(
        self,
        x: Tensor,
        stage: Stage,
        seed: int,
        indices: Sequence[int] | NDArray[np.int64] | None,
    ) -> list[SampleStream]:
        """The samples of each input; arguments and errors are those of `tally`."""
        self.check(x)
        given = range(len(x)) if indices is None else indices
        if np.ndim(given) != 1:
            raise InputError(f"expected one index for each of {len(x)} inputs, got {given!r}")
        names = [as_integer(index, "index") for index in given]
        if len(names) != len(x):
            raise InputError(f"expected one index for each of {len(x)} inputs, got {len(names)}")
        return [sample_stream(seed, stage, name) for name in names]

    def base_answers(self, x: Tensor, mask: Tensor) -> NDArray[np.int64]:
        """The base classifier's classes for given ablations of one input.

        Args:
            x: one input, as a batch of 1.
            mask: `(samples, features)`, as the design draws it: the features each sample retains.

        Returns:
            `(samples,)` classes.
        """
        self.check(x)
        if mask.ndim != 2 or mask.shape[1] != self.ablation.num_entries or len(x) != 1:
            raise InputError(
                f"expected one input and a mask of shape (samples, {self.ablation.num_entries}), "
                f"got {len(x)} inputs and {tuple(mask.shape)}"
            )
        with torch.inference_mode(), self.evaluating():
            logits = self.cast(self.on_device(x), mask)
        choices: NDArray[np.int64] = first_choices(logits).cpu().numpy()
        return choices

    def few_ballots(
        self, x: Tensor, number: int, index: int
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """A few ballots on one input, to be shown.

        Args:
            x: one input, as a batch of 1.
            number: of ballots.
            index: of the input in its data set.

        Returns:
            `(number, features)`, as the design draws it, and `(number,)` classes.
        """
        drawn = self.ablation.draw(samples(0, Stage.ILLUSTRATION, index, number))
        return drawn, self.base_answers(x, torch.from_numpy(drawn))

    def _shortlist(
        self, x: Tensor, seed: int, indices: Sequence[int] | NDArray[np.int64] | None
    ) -> NDArray[np.int64] | None:
        """The classes that each input tracks; None where every pair is counted."""
        if not tracks_few(self.num_classes):
            return None
        streams = self.streams(x, Stage.SHORTLIST, seed, indices)
        return shortlist(self, self.ablation, x, streams, most_tracked((1,)))

    def _tracked(
        self,
        x: Tensor,
        seed: int,
        indices: Sequence[int] | NDArray[np.int64] | None,
        before: Tally,
        known: NDArray[np.int64] | None,
    ) -> NDArray[np.int64] | None:
        """The classes that each input tracks at looks: as before, or the first of its shortlist."""
        lists, new = before.tracked_classes, np.flatnonzero(before.num_reached == 0)
        if lists is None or not len(new):
            return lists
        lists = lists.copy()
        if known is None:
            names = np.arange(len(x)) if indices is None else np.asarray(indices)
            chosen = self._shortlist(x[new], seed, names[new])
        else:
            chosen = known[new]
        if chosen is not None:
            size = min(lists.shape[1], chosen.shape[1])
            lists[new, :size] = chosen[:, :size]
        return lists
