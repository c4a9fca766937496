"""The procedure of designs that draw samples: some choose a class, others estimate its share.

Under a schedule of several looks each image is counted until its certificate and its prediction are
decided. What is stored are the counts at every look that was reached, so another rule or alpha
reads the same counts, and goes on only with the images that it would have counted further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import (
    Prediction,
    Stop,
    certification_at,
    certify_by_look,
    check_reachable,
    check_target,
    check_top,
    name_by_look,
    predict_tally,
    prediction_at,
    select_label,
    stop,
    warn_if_too_few,
)
from sparsecert.designs.design import SampledDesign, sampled
from sparsecert.devices import alike_devices
from sparsecert.errors import check_num_samples, warn_if_large
from sparsecert.procedures.execution import Execution
from sparsecert.procedures.procedure import (
    Measurement,
    Network,
    Procedure,
    RunImages,
    among_top,
    base_classifier,
)
from sparsecert.procedures.tallies import Tallies
from sparsecert.rules import RULES, check_rule
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage, stream
from sparsecert.theory import boundaries
from sparsecert.theory.schedule import (
    ALPHA,
    NUM_SAMPLES,
    NUM_SELECTION,
    Sampling,
    look_schedule,
)
from sparsecert.votes.store import TallyStore, VoteSettings, VoteStore
from sparsecert.votes.tally import Tally


@dataclass(frozen=True)
class SampledProcedure(Procedure):
    """How many ablations, from which streams, and how their votes are read.

    Attributes:
        num_selection: n0, samples that choose the class to certify.
        num_samples: n, samples that estimate its share.
        sampling: "fixed", or "sequential", where n is the most that an image gets.
        seed: of the random streams.
        alpha: error probability of each certificate and prediction.
        rule: a key of `rules.RULES`.
        top: K; beyond 1 it is the correct class that is certified, to stay among the top K, from
            all ballots that there are.
        target: sequential sampling only: stop once it is decided whether this radius is certified.

    Raises:
        InputError: for numbers out of range, or an unknown rule or way of sampling.
    """

    num_selection: int = NUM_SELECTION
    num_samples: int = NUM_SAMPLES
    sampling: Sampling = "fixed"
    seed: int = 0
    alpha: float = ALPHA
    rule: str = "majority"
    top: int = 1
    target: int | None = None
    lacks: ClassVar[str] = "which draws samples; threats and abstention are for fixed families"

    def __post_init__(self) -> None:
        check_num_samples(self.num_selection, "num_selection")
        look_schedule(self.sampling, self.num_samples)
        check_rule(self.alpha, self.rule)
        check_target(self.target, self.sampling, self.top)
        stream(self.seed, Stage.SELECTION, 0)  # says what is wrong with a seed

    def classifier(self, run: RunFolder, *, compile: bool = False) -> SmoothedClassifier:
        """The run's smoothed classifier, on the best device there is, or several alike."""
        design, devices = sampled(run.config.design), alike_devices()
        return SmoothedClassifier(
            ablation=design, compile=compile, devices=devices, **base_classifier(run)
        )

    def count(self, images: RunImages, execution: Execution) -> None:
        """Count the votes that select and estimate; see `Procedure`.

        Warns:
            TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
            LargeAlphaWarning: for an alpha above one half.
        """
        # What would make hours of counting useless is said now.
        warn_if_too_few(self.num_samples, self.alpha, self.rule)
        warn_if_large(self.alpha)
        config = images.run.config
        looks, design = look_schedule(self.sampling, self.num_samples), sampled(config.design)
        check_top(self.top, config.num_classes, self.rule, RULES[self.rule].has_top)
        check_reachable(self.target, looks, config.num_classes, design, self.alpha, self.rule)
        tallies = self._tallies(images)
        tallies.count(Stage.SELECTION, execution)
        label = select_label(tallies.stored(Stage.SELECTION).votes, self.rule)
        tallies.count(Stage.ESTIMATION, execution, partial(_certified, self, design, label))

    def count_as_far(
        self, images: RunImages, store: VoteStore[Any, Any], execution: Execution
    ) -> None:
        """Count up to the last look that each image reached there; see `Procedure`."""
        tallies = self._tallies(images)
        tallies.count(Stage.SELECTION, execution)
        there = images.of(store.read(tallies.settings(Stage.ESTIMATION)), "votes to be compared")
        tallies.count(Stage.ESTIMATION, execution, partial(_as_far, there.votes.num_reached))

    def measure(self, images: RunImages) -> Measurement:
        """Predictions and certificates of stored tallies; see `Procedure`."""
        tallies = self._tallies(images)
        selection, estimation = map(tallies.stored, (Stage.SELECTION, Stage.ESTIMATION))
        label, tally = select_label(selection.votes, self.rule), estimation.votes
        if self.top > 1:
            label = images.targets
        design = sampled(images.run.config.design)
        certified = certify_by_look(
            tally, label, design, self.alpha, self.rule, self.top, self.target
        )
        named = name_by_look(tally, self.alpha, self.rule)
        end, prediction = stop(tally, certified, named), None
        if self.top > 1:
            end = Stop(np.maximum(tally.num_reached - 1, 0), np.ones(len(tally), dtype=np.bool_))
            member = RULES[self.rule].among_top(tally, label, self.top)
            prediction = Prediction(among_top(member, label, tally.top), tally.votes)
        return Measurement(
            images,
            prediction or prediction_at(end, tally, named, self.rule),
            certification_at(end, tally, label, certified, self.alpha, self.rule),
            selection.seconds + estimation.seconds,
            int((~end.finished).sum()),
        )

    def predict(self, images: RunImages, execution: Execution) -> Prediction:
        """Count the votes for prediction, of a stage of their own, and predict.

        Where all images have votes that estimate and some have none for prediction, those serve:
        they are as many, and independent of the selection.
        """
        tallies = self._tallies(images)
        stage = Stage.PREDICTION
        if tallies.has(Stage.ESTIMATION) and not tallies.has(stage):
            stage = Stage.ESTIMATION
        tallies.count(stage, execution, partial(_named, self))
        return predict_tally(tallies.stored(stage).votes, self.alpha, self.rule)

    def votes_settings(self, images: RunImages) -> tuple[VoteSettings, ...]:
        """Of the votes that select, and of those that estimate; see `Procedure`."""
        tallies = self._tallies(images)
        return tallies.settings(Stage.SELECTION), tallies.settings(Stage.ESTIMATION)

    def rules_of_votes(self, images: RunImages) -> tuple[str, ...]:
        """The design's rules, but for those that need rankings where none were recorded."""
        tallies = self._tallies(images)
        ranked = all(
            tallies.stored(stage).votes.has_rankings
            for stage in (Stage.SELECTION, Stage.ESTIMATION)
        )
        rules = images.run.config.design.rules
        return tuple(
            rule
            for rule in rules
            if (ranked or not RULES[rule].needs_rankings) and (self.top == 1 or RULES[rule].has_top)
        )

    def _tallies(self, images: RunImages) -> Tallies:
        network = Network.of(self, images.run)
        return Tallies(
            images, network, self.num_selection, self.num_samples, self.sampling, self.seed
        )

    @classmethod
    def store_of(cls, run: RunFolder, num_images: int) -> TallyStore:
        """Its tallies; see `Procedure`."""
        return TallyStore(run.tallies_path, run.config.num_classes, num_images)

    def to_record(self, measurement: Measurement) -> dict[str, Any]:
        """What a record says of the procedure, as JSON values."""
        tallies = self._tallies(measurement.images)
        drawn_by = min(map(tallies.sampler_version, (Stage.SELECTION, Stage.ESTIMATION)))
        values = asdict(self) | {"sampler_version": drawn_by}
        if self.target is None:
            del values["target"]
        if self.sampling == "fixed":
            return values
        return values | {"sampling_version": boundaries.VERSION}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SampledProcedure:
        """The inverse of `to_record`; older records had one look, and were of one class."""
        names = ("num_selection", "num_samples", "seed", "alpha", "rule")
        sampling = record.get("sampling", "fixed")
        top, target = record.get("top", 1), record.get("target")
        given = {name: record[name] for name in names}
        return cls(sampling=sampling, top=top, target=target, **given)


def _certified(
    procedure: SampledProcedure,
    design: SampledDesign,
    label: NDArray[np.int64],
    tally: Tally,
    rows: NDArray[np.int64],
) -> Stop:
    """Where counting stops that certifies; `label` is of all images, the tally of these rows."""
    certified = certify_by_look(
        tally, label[rows], design, procedure.alpha, procedure.rule, target=procedure.target
    )
    return stop(tally, certified, name_by_look(tally, procedure.alpha, procedure.rule))


def _as_far(reached: NDArray[np.int64], tally: Tally, rows: NDArray[np.int64]) -> Stop:
    """Where counting stops that goes as far as another; `reached` is of all images."""
    return Stop(reached[rows] - 1, tally.num_reached >= reached[rows])


def _named(procedure: SampledProcedure, tally: Tally, rows: NDArray[np.int64]) -> Stop:
    """Where counting stops that predicts."""
    return stop(tally, name_by_look(tally, procedure.alpha, procedure.rule))


def base_answers(images: RunImages, execution: Execution) -> NDArray[np.int64]:
    """`(images,)` the base classifier's classes, each image seen through one ablation."""
    tallies = SampledProcedure(num_samples=1)._tallies(images)
    tallies.count(Stage.EVALUATION, execution)
    answers: NDArray[np.int64] = tallies.stored(Stage.EVALUATION).votes.votes.argmax(axis=1)
    return answers
