"""Counting a run's votes look by look: resumable, stored as images finish.

Each image is counted until its certificate and its prediction are settled. What is stored are the
counts at every look that was reached, so another rule or alpha reads the same counts, and goes on
only with the images that it would have counted further.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert import progress
from sparsecert.certification import Certification, Prediction, select_label
from sparsecert.data import Dataset
from sparsecert.designs.design import sampled
from sparsecert.procedures.sampled import (
    SamplingPlan,
    count_votes,
    in_groups,
    places,
    smoothed_classifier,
    stored_votes,
)
from sparsecert.runs.folder import RunFolder
from sparsecert.sequential_certification import (
    Stop,
    certification_at,
    certified_by_look,
    named_by_look,
    prediction_at,
    stop,
)
from sparsecert.smoothing.sequential import tally_looks
from sparsecert.streams import Stage
from sparsecert.theory.sequential import look_schedule
from sparsecert.votes.look_store import LookSettings, LookStore
from sparsecert.votes.look_tally import LookTally
from sparsecert.votes.store import Stored

# An image's first look is a hundred ballots or so: this many passes' worth are counted together.
_PASSES_PER_GROUP = 4
_NUMBERS_PER_GROUP = 2**24  # of the inputs: 64 MiB


@dataclass(frozen=True)
class Replay:
    """What stored looks say of some images.

    Attributes:
        prediction: PREDICT, at each image's stop.
        certification: CERTIFY, at each image's stop.
        finished: `(images,)` whether counting would stop there; if not, it was stopped before, by
            another rule or alpha, and the answers hold, but more ballots may tell more.
        seconds: `(images,)` time each image took.
    """

    prediction: Prediction
    certification: Certification
    finished: NDArray[np.bool_]
    seconds: NDArray[np.float64]


def count_certificates(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float,
    rule: str,
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> None:
    """Count what CERTIFY needs and the run's tallies lack: the selection, then look by look.

    Args:
        run: a trained run.
        dataset: the split that `indices` refer to.
        indices: images to count.
        plan: how many ablations; `num_samples` is the budget.
        alpha: error probability of each certificate.
        rule: a key of `theory.RULES`.
        compile: run the base classifier through `torch.compile`.
        show_progress: draw a progress bar.
    """
    count_votes(
        run,
        dataset,
        indices,
        plan,
        [Stage.SELECTION],
        compile=compile,
        show_progress=show_progress,
    )
    label = select_label(stored_votes(run, dataset, indices, plan, Stage.SELECTION).votes, rule)
    design = sampled(run.read_config().design)

    def stops(tally: LookTally, rows: NDArray[np.int64]) -> Stop:
        """Rows are of `indices`."""
        certified = certified_by_look(tally, label[rows], design, alpha, rule)
        return stop(tally, certified, named_by_look(tally, alpha, rule))

    _count(run, dataset, indices, plan, Stage.ESTIMATION, stops, compile, show_progress)


def count_predictions(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float,
    rule: str,
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> Prediction:
    """Count what PREDICT needs and the run's tallies lack, look by look, and predict.

    Arguments are those of `count_certificates`.
    """

    def stops(tally: LookTally, rows: NDArray[np.int64]) -> Stop:
        return stop(tally, named_by_look(tally, alpha, rule))

    _count(run, dataset, indices, plan, Stage.PREDICTION, stops, compile, show_progress)
    tally = stored_looks(run, dataset, indices, plan, Stage.PREDICTION).votes
    named = named_by_look(tally, alpha, rule)
    return prediction_at(stop(tally, named), tally, named)


def replay(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float,
    rule: str,
    label: NDArray[np.int64] | None = None,
) -> Replay:
    """Certificates and predictions of these images, in their order, from the run's tallies.

    Args:
        run: a trained run.
        dataset: the split that `indices` refer to.
        indices: images.
        plan: the plan they were counted under.
        alpha: error probability of each certificate and prediction.
        rule: a key of `theory.RULES`.
        label: `(images,)` classes to certify; by default what the rule selects.

    Raises:
        InputError: if some of the images have not been counted under this plan.
    """
    selection = stored_votes(run, dataset, indices, plan, Stage.SELECTION)
    stored = stored_looks(run, dataset, indices, plan, Stage.ESTIMATION)
    design = sampled(run.read_config().design)
    chosen = select_label(selection.votes, rule) if label is None else label
    certified = certified_by_look(stored.votes, chosen, design, alpha, rule)
    named = named_by_look(stored.votes, alpha, rule)
    end = stop(stored.votes, certified, named)
    return Replay(
        prediction_at(end, stored.votes, named),
        certification_at(end, stored.votes, chosen, certified, alpha),
        end.finished,
        selection.seconds + stored.seconds,
    )


def stored_looks(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    stage: Stage,
) -> Stored[LookTally]:
    """The counts of these images, in their order, from the run's tallies.

    Raises:
        InputError: if some of the images have not been counted under this plan.
    """
    stored = _store(run).read(_settings(run, dataset, plan, stage))
    what = (
        f"sequential {stage.name.lower()} votes in {run.tallies_path} under this plan; run "
        "`sparsecert certify --sampling sequential` first"
    )
    return stored.take(places(indices, stored.indices, what))


def sequentially_counted_images(
    run: RunFolder, dataset: Dataset, plan: SamplingPlan
) -> NDArray[np.int64]:
    """The images that have sequential estimation votes under this plan, rising."""
    return _store(run).read(_settings(run, dataset, plan, Stage.ESTIMATION)).indices


def _count(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    stage: Stage,
    stops: Callable[[LookTally, NDArray[np.int64]], Stop],
    compile: bool,
    show_progress: bool,
) -> None:
    """Count until every image has stopped; `stops` is asked with rows of `indices`."""
    store, settings = _store(run), _settings(run, dataset, plan, stage)
    stored = store.read(settings)
    begun = np.flatnonzero(np.isin(indices, stored.indices))
    stored = stored.take(np.searchsorted(stored.indices, indices[begun]))
    going_on = np.flatnonzero(~stops(stored.votes, begun).finished)
    place = np.full(len(indices), -1)
    place[begun[going_on]] = going_on
    missing = np.setdiff1d(np.arange(len(indices)), np.delete(begun, going_on))
    if not len(missing):
        return
    smoothed = smoothed_classifier(run, compile=compile)

    def count(rows: NDArray[np.int64]) -> LookTally:
        return tally_looks(
            smoothed,
            dataset.batch(indices[rows]),
            plan.num_samples,
            stage,
            lambda tally, some: stops(tally, rows[some]),
            plan.seed,
            indices[rows],
            before=_earlier(stored.votes, place[rows]),
        )

    pass_size = smoothed.pass_size(dataset.batch(indices[:1]))
    group = _group_size(dataset, pass_size, plan.num_samples)
    with progress.bar(show_progress) as bar:
        task = bar.add_task(
            f"{settings.stage}: up to {plan.num_samples} ablations per image",
            total=len(indices),
            completed=len(indices) - len(missing),
        )
        for finished in in_groups(missing, group, count, bar, task):
            store.append(
                settings,
                [
                    Stored(indices[rows], seconds + _before(stored, place[rows]), tally)
                    for rows, seconds, tally in finished
                ],
            )
    store.compact(settings)


def _earlier(tally: LookTally, place: NDArray[np.int64]) -> LookTally:
    """What has been counted of these images; zeros where nothing has (place -1)."""
    blank = LookTally.empty(tally.budget, 1, tally.first_choice.shape[2])
    return LookTally.concatenate([tally, blank]).take(place)


def _before(stored: Stored[LookTally], place: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds that these images have taken already."""
    return np.append(stored.seconds, 0.0)[place]


def _group_size(dataset: Dataset, pass_size: int, num_samples: int) -> int:
    """Images that are counted together: enough for full passes from the first look on."""
    most = max(1, _NUMBERS_PER_GROUP // math.prod(dataset.input_shape))
    first_look = int(look_schedule(num_samples)[0])
    return min(most, math.ceil(_PASSES_PER_GROUP * pass_size / first_look))


def _store(run: RunFolder) -> LookStore:
    return LookStore(run.tallies_path, run.read_config().num_classes)


def _settings(run: RunFolder, dataset: Dataset, plan: SamplingPlan, stage: Stage) -> LookSettings:
    return LookSettings(
        run.fingerprint(),
        dataset.fingerprint(),
        plan.seed,
        stage.name.lower(),
        plan.num_samples,
        tuple(map(int, look_schedule(plan.num_samples))),
    )
