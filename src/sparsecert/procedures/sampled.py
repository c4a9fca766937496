"""The procedure of designs that draw samples: some choose a class, others estimate its share.

Under a schedule of several looks each image is counted until its certificate and its prediction are
decided. What is stored are the counts at every look that was reached, so another rule or alpha
reads the same counts, and goes on only with the images that it would have counted further.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import (
    Certification,
    Prediction,
    Stop,
    certification_at,
    certify_by_look,
    name_by_look,
    predict_tally,
    prediction_at,
    select_label,
    stop,
    warn_if_too_few,
)
from sparsecert.designs.design import sampled
from sparsecert.devices import alike_devices
from sparsecert.errors import check_num_samples
from sparsecert.procedures.execution import Execution, Finished, Work
from sparsecert.procedures.procedure import (
    Measurement,
    Procedure,
    RunImages,
    base_classifier,
)
from sparsecert.rules import RULES, check_rule
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier, StopRule
from sparsecert.streams import Stage, stream
from sparsecert.theory.schedule import (
    ALPHA,
    NUM_SAMPLES,
    NUM_SELECTION,
    Sampling,
    look_schedule,
)
from sparsecert.votes.store import Stored, TallySettings, TallyStore
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import track_nothing

# Images are counted in groups, so that a pass through the network is full even where there are few
# ablations per image: those of a fixed number together have so many ballots, those that are looked
# at early so many passes of ballots at the first look.
_BALLOTS_PER_GROUP = 10_000
_PASSES_PER_GROUP = 4
_NUMBERS_PER_GROUP = 2**24  # of the inputs: 64 MiB


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

    Raises:
        InputError: for numbers out of range, or an unknown rule or way of sampling.
    """

    num_selection: int = NUM_SELECTION
    num_samples: int = NUM_SAMPLES
    sampling: Sampling = "fixed"
    seed: int = 0
    alpha: float = ALPHA
    rule: str = "majority"

    def __post_init__(self) -> None:
        check_num_samples(self.num_selection, "num_selection")
        look_schedule(self.sampling, self.num_samples)
        check_rule(self.alpha, self.rule)
        stream(self.seed, Stage.SELECTION, 0)  # says what is wrong with a seed

    @property
    def looks(self) -> tuple[int, ...] | None:
        """Numbers of ballots at which counts are read; None for one look, at all of them."""
        looks = look_schedule(self.sampling, self.num_samples)
        return looks if len(looks) > 1 else None

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
        """
        # What would make hours of counting useless is said now.
        warn_if_too_few(self.num_samples, self.alpha, self.rule)
        tallies = _Tallies(self, images)
        tallies.count(Stage.SELECTION, execution)
        label = select_label(tallies.stored(Stage.SELECTION).votes, self.rule)
        design = sampled(images.run.config.design)

        def stops(tally: Tally, rows: NDArray[np.int64]) -> Stop:
            certified = certify_by_look(tally, label[rows], design, self.alpha, self.rule)
            return stop(tally, certified, name_by_look(tally, self.alpha, self.rule))

        tallies.count(Stage.ESTIMATION, execution, stops)

    def measure(self, images: RunImages) -> Measurement:
        """Predictions and certificates of stored tallies; see `Procedure`."""
        tallies = _Tallies(self, images)
        selection, estimation = map(tallies.stored, (Stage.SELECTION, Stage.ESTIMATION))
        label, tally = select_label(selection.votes, self.rule), estimation.votes
        design = sampled(images.run.config.design)
        certified = certify_by_look(tally, label, design, self.alpha, self.rule)
        named = name_by_look(tally, self.alpha, self.rule)
        end = stop(tally, certified, named)
        return Measurement(
            images,
            prediction_at(end, tally, named),
            certification_at(end, tally, label, certified, self.alpha),
            selection.seconds + estimation.seconds,
            int((~end.finished).sum()),
        )

    def predict(self, images: RunImages, execution: Execution) -> Prediction:
        """Count the votes for prediction, of a stage of their own, and predict."""

        def stops(tally: Tally, rows: NDArray[np.int64]) -> Stop:
            return stop(tally, name_by_look(tally, self.alpha, self.rule))

        tallies = _Tallies(self, images)
        tallies.count(Stage.PREDICTION, execution, stops)
        return predict_tally(tallies.stored(Stage.PREDICTION).votes, self.alpha, self.rule)

    def counted(self, images: RunImages) -> NDArray[np.bool_]:
        """`(images,)` which have both selection and estimation votes."""
        tallies = _Tallies(self, images)
        return np.logical_and(
            *(
                np.isin(images.indices, tallies.read(stage).indices)
                for stage in (Stage.SELECTION, Stage.ESTIMATION)
            )
        )

    def rules_of_votes(self, images: RunImages) -> tuple[str, ...]:
        """The design's rules, but for those that need rankings where none were recorded."""
        tallies = _Tallies(self, images)
        ranked = all(
            tallies.stored(stage).votes.has_rankings
            for stage in (Stage.SELECTION, Stage.ESTIMATION)
        )
        rules = images.run.config.design.rules
        return tuple(rule for rule in rules if ranked or not RULES[rule].needs_rankings)

    def to_record(self, certification: Certification) -> dict[str, Any]:
        """What a record says of the procedure, as JSON values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SampledProcedure:
        """The inverse of `to_record`; records without a way of sampling had one look."""
        names = ("num_selection", "num_samples", "seed", "alpha", "rule")
        sampling = record.get("sampling", "fixed")
        return cls(sampling=sampling, **{name: record[name] for name in names})


def base_answers(images: RunImages, execution: Execution) -> NDArray[np.int64]:
    """`(images,)` the base classifier's classes, each image seen through one ablation."""
    tallies = _Tallies(SampledProcedure(num_samples=1), images)
    tallies.count(Stage.EVALUATION, execution)
    answers: NDArray[np.int64] = tallies.stored(Stage.EVALUATION).votes.votes.argmax(axis=1)
    return answers


class _Tallies:
    """The tallies of a run's images under a procedure.

    Args:
        procedure: how many ablations, and from which streams.
        images: the images.
    """

    def __init__(self, procedure: SampledProcedure, images: RunImages) -> None:
        self.procedure, self.images = procedure, images
        num_classes = images.run.config.num_classes
        self.store = TallyStore(images.run.tallies_path, num_classes)
        self._smoothed: SmoothedClassifier | None = None

    def settings(self, stage: Stage) -> TallySettings:
        """What the counts of a stage depend on; a class is selected at one look."""
        selects, procedure = stage is Stage.SELECTION, self.procedure
        return TallySettings(
            self.images.run.fingerprint(),
            self.images.dataset.fingerprint(),
            procedure.seed,
            stage.name.lower(),
            procedure.num_selection if selects else procedure.num_samples,
            None if selects else procedure.looks,
        )

    def read(self, stage: Stage) -> Stored[Tally]:
        """Whatever has been counted."""
        return self.store.read(self.settings(stage))

    def stored(self, stage: Stage) -> Stored[Tally]:
        """The votes of these images, in their order.

        Raises:
            InputError: if some of the images have not been counted under this procedure.
        """
        settings = self.settings(stage)
        again = "" if settings.looks is None else " --sampling sequential"
        what = (
            f"{settings.name} votes in {self.store.folder} under this plan; run "
            f"`sparsecert certify{again}` first"
        )
        return self.images.of(self.read(stage), what)

    def count(
        self,
        stage: Stage,
        execution: Execution,
        stops: StopRule | None = None,
    ) -> None:
        """Count what is missing, until every image has stopped.

        Args:
            stage: what the ablations are for.
            execution: where.
            stops: asked with rows of the images; needed under several looks.
        """
        settings, stored, indices = self.settings(stage), self.read(stage), self.images.indices
        done = np.flatnonzero(np.isin(indices, stored.indices))
        if settings.looks is not None and stops is not None:
            tally = stored.take(np.searchsorted(stored.indices, indices[done])).votes
            done = done[stops(tally, done).finished]
        missing, order = np.delete(indices, done), np.argsort(indices)

        def keep(finished: Sequence[Finished[Tally]]) -> None:
            parts = [
                Stored(f.images, f.seconds + _seconds_before(stored, f.images), f.result)
                for f in finished
            ]
            self.store.append(settings, parts)

        def start() -> tuple[int, Callable[[NDArray[np.int64]], Tally]]:
            if self._smoothed is None:
                self._smoothed = self.procedure.classifier(
                    self.images.run, compile=execution.compile
                )
            smoothed = self._smoothed

            def count(some: NDArray[np.int64]) -> Tally:
                rows = order[np.searchsorted(indices, some, sorter=order)]
                return smoothed.tally(
                    self.images.dataset.batch(some),
                    settings.num_samples,
                    stage,
                    settings.seed,
                    some,
                    sampling="fixed" if settings.looks is None else self.procedure.sampling,
                    stops=stops and (lambda tally, places: stops(tally, rows[places])),
                    before=_counted_before(stored, some),
                    # Ballots for evaluation are read one by one, by first choice.
                    tracked=track_nothing(len(some)) if stage is Stage.EVALUATION else None,
                )

            return self._group_size(settings, smoothed), count

        at_most = "" if settings.looks is None else "up to "
        words = f"{settings.stage}: {at_most}{settings.num_samples} ablations per image"
        execution.run(Work(words, len(indices), missing, start, keep))
        self.store.compact(settings)

    def _group_size(self, settings: TallySettings, smoothed: SmoothedClassifier) -> int:
        """Images that are counted together."""
        most = max(1, _NUMBERS_PER_GROUP // math.prod(self.images.dataset.input_shape))
        if settings.looks is None:
            return min(most, max(1, _BALLOTS_PER_GROUP // settings.num_samples))
        pass_size = smoothed.pass_size(self.images.dataset.batch([0]))
        return min(most, math.ceil(_PASSES_PER_GROUP * pass_size / settings.looks[0]))


def _counted_before(stored: Stored[Tally], images: NDArray[np.int64]) -> Tally | None:
    """What has been counted of these images at earlier looks; zeros where nothing has."""
    looks, known = stored.votes.looks, np.isin(images, stored.indices)
    if looks is None:
        return None
    blank = Tally.empty(looks, 1, stored.votes.num_classes)
    place = np.where(known, np.searchsorted(stored.indices, images), len(stored.indices))
    return Tally.concatenate([stored.votes, blank]).take(place)


def _seconds_before(stored: Stored[Tally], images: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds that these images have taken already."""
    known = np.isin(images, stored.indices)
    place = np.where(known, np.searchsorted(stored.indices, images), len(stored.indices))
    return np.append(stored.seconds, 0.0)[place]
