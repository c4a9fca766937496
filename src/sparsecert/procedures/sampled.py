"""Counting a run's votes: resumable, stored as images finish.

This is where the network is run. What is stored answers every later question without it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress, TaskID

from sparsecert import progress
from sparsecert.data import Dataset
from sparsecert.designs.design import sampled
from sparsecert.devices import alike_devices, best_device
from sparsecert.errors import InputError, check_num_samples, check_sampling
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.votes.store import Stored
from sparsecert.votes.tally import Tally
from sparsecert.votes.tally_store import TallySettings, TallyStore
from sparsecert.votes.tracked_classes import nobody

# Images are counted in groups, so that a pass through the network is full even where there are
# few ablations per image, and a kill loses at most this many seconds of work or one group.
_FLUSH_SECONDS = 10.0
_BALLOTS_PER_GROUP = 10_000
_NUMBERS_PER_GROUP = 2**24  # of the inputs: 64 MiB

Counted = TypeVar("Counted")


@dataclass(frozen=True)
class SamplingPlan:
    """How many ablations, and from which streams.

    Attributes:
        num_selection: n0, samples that choose the class to certify.
        num_samples: n, samples that estimate its share.
        seed: of the random streams.
        sampling: "fixed", or "sequential", where n is the most that an image gets.
    """

    num_selection: int = 1_000
    num_samples: int = 10_000
    seed: int = 0
    sampling: str = "fixed"

    def __post_init__(self) -> None:
        check_num_samples(self.num_selection, "num_selection")
        check_num_samples(self.num_samples)
        check_sampling(self.sampling)


def smoothed_classifier(run: RunFolder, *, compile: bool = False) -> SmoothedClassifier:
    """The run's model as a smoothed classifier, on the best device there is, or several alike."""
    config = run.read_config()
    return SmoothedClassifier(
        run.load_model().to(best_device()),
        sampled(config.design),
        config.num_classes,
        config.build_encoding(),
        precision=config.recipe.precision,
        compile=compile,
        devices=alike_devices(),
    )


def count_votes(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    stages: Sequence[Stage] = (Stage.SELECTION, Stage.ESTIMATION),
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> None:
    """Count the votes that are not in the run's tallies yet, and store them as they come.

    Args:
        run: a trained run.
        dataset: the split that `indices` refer to.
        indices: images to count.
        plan: how many ablations.
        stages: what for.
        compile: run the base classifier through `torch.compile`.
        show_progress: draw a progress bar.
    """
    smoothed = smoothed_classifier(run, compile=compile)
    store = _store(run)
    with progress.bar(show_progress) as bar:
        for stage in stages:
            settings = _settings(run, dataset, plan, stage)
            missing = np.setdiff1d(indices, store.read(settings).indices)
            group = group_size(dataset, settings.num_samples)
            task = bar.add_task(
                f"{settings.stage}: {settings.num_samples} ablations per image",
                total=len(indices),
                completed=len(indices) - len(missing),
            )

            def count(
                rows: NDArray[np.int64], stage: Stage = stage, settings: TallySettings = settings
            ) -> Tally:
                # Ballots for evaluation are read one by one, by first choice.
                followed = nobody(len(rows)) if stage is Stage.EVALUATION else None
                return smoothed.tally(
                    dataset.batch(rows),
                    settings.num_samples,
                    stage,
                    plan.seed,
                    rows,
                    followed=followed,
                )

            for finished in in_groups(missing, group, count, bar, task):
                store.append(settings, [Stored(*part) for part in finished])
            store.compact(settings)


def group_size(dataset: Dataset, num_samples: int) -> int:
    """Images that are counted together, with so many ballots each."""
    most = max(1, _NUMBERS_PER_GROUP // math.prod(dataset.input_shape))
    return min(most, max(1, _BALLOTS_PER_GROUP // num_samples))


def in_groups(
    missing: NDArray[np.int64],
    group: int,
    count: Callable[[NDArray[np.int64]], Counted],
    bar: Progress,
    task: TaskID,
) -> Iterator[list[tuple[NDArray[np.int64], NDArray[np.float64], Counted]]]:
    """Count images group by group, and give what has been finished every few seconds.

    Args:
        missing: the images.
        group: how many at once.
        count: what to do with a group.
        bar: to be advanced.
        task: of the bar.

    Yields:
        For each finished group its images, the seconds each of them took, and what came of it.
    """
    pending, flushed = [], time.monotonic()
    for start in range(0, len(missing), group):
        rows = missing[start : start + group]
        started = time.perf_counter()
        counted = count(rows)
        seconds = np.full(len(rows), (time.perf_counter() - started) / len(rows))
        pending.append((rows, seconds, counted))
        bar.update(task, advance=len(rows))
        if time.monotonic() - flushed > _FLUSH_SECONDS:
            yield pending
            pending, flushed = [], time.monotonic()
    yield pending


def _store(run: RunFolder) -> TallyStore:
    return TallyStore(run.tallies_path, run.read_config().num_classes)


def _settings(run: RunFolder, dataset: Dataset, plan: SamplingPlan, stage: Stage) -> TallySettings:
    samples = plan.num_selection if stage is Stage.SELECTION else plan.num_samples
    return TallySettings(
        run.fingerprint(), dataset.fingerprint(), plan.seed, stage.name.lower(), samples
    )


def stored_votes(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    stage: Stage,
) -> Stored[Tally]:
    """The votes of these images, in their order, from the run's tallies.

    Raises:
        InputError: if some of the images have not been counted under this plan.
    """
    stored = _store(run).read(_settings(run, dataset, plan, stage))
    what = f"{stage.name.lower()} votes in {run.tallies_path} under this plan"
    return stored.take(places(indices, stored.indices, f"{what}; run `sparsecert certify` first"))


def places(indices: NDArray[np.int64], counted: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """Where each of these images is among those that have been counted.

    Args:
        indices: images.
        counted: images, rising.
        what: the rest of the sentence "3 of 20 images have no ...".

    Raises:
        InputError: if some of the images have not been counted.
    """
    missing = np.setdiff1d(indices, counted)
    if len(missing):
        raise InputError(f"{len(missing)} of {len(indices)} images have no {what}")
    return np.searchsorted(counted, indices)


def counted_images(run: RunFolder, dataset: Dataset, plan: SamplingPlan) -> NDArray[np.int64]:
    """The images that have both selection and estimation votes under this plan, rising."""
    store = _store(run)
    selection, estimation = (
        store.read(_settings(run, dataset, plan, stage)).indices
        for stage in (Stage.SELECTION, Stage.ESTIMATION)
    )
    return np.intersect1d(selection, estimation)
