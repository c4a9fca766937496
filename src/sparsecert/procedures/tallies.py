"""The tallies of a run's images: counted where they are missing, stored as images finish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError
from sparsecert.procedures.execution import Execution, Finished, Task, Work
from sparsecert.procedures.procedure import Network, RunImages
from sparsecert.smoothing.counting import StopRule
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.streams.samples import SAMPLER_VERSION
from sparsecert.theory.schedule import look_schedule
from sparsecert.votes.store import Stored, TallySettings, TallyStore
from sparsecert.votes.tally import Tally
from sparsecert.votes.tracked_classes import track_nothing

# Images are counted in groups, so that a pass through the network is full even where there are few
# ablations per image: those of a fixed number together have so many ballots, those that are looked
# at early so many passes of ballots at the first look.
_BALLOTS_PER_GROUP = 10_000
_PASSES_PER_GROUP = 4
_NUMBERS_PER_GROUP = 2**24  # of the inputs: 64 MiB


class Tallies:
    """The tallies of a run's images under a procedure.

    Args:
        images: the images.
        network: loads the classifier, where a ballot is missing.
        num_selection: n0, samples that choose the class to certify.
        num_samples: n, samples for every other stage.
        sampling: how these are sampled.
        seed: of the random streams.
    """

    def __init__(
        self,
        images: RunImages,
        network: Network,
        num_selection: int,
        num_samples: int,
        sampling: str,
        seed: int,
    ) -> None:
        self.images, self._network, self.sampling, self.seed = images, network, sampling, seed
        self.num_selection, self.num_samples = num_selection, num_samples
        num_classes = images.run.config.num_classes
        self.store = TallyStore(images.run.tallies_path, num_classes, len(images.dataset))

    def settings(self, stage: Stage) -> TallySettings:
        """What the counts of a stage depend on; a class is selected at one look."""
        selects = stage is Stage.SELECTION
        looks = look_schedule(self.sampling, self.num_samples)
        return TallySettings(
            self.images.run.fingerprint(),
            self.images.dataset.fingerprint(),
            self.seed,
            stage.name.lower(),
            self.num_selection if selects else self.num_samples,
            None if selects or len(looks) == 1 else looks,
        )

    def read(self, stage: Stage) -> Stored[Tally]:
        """Whatever has been counted."""
        return self.store.read(self.settings(stage))

    def has(self, stage: Stage) -> bool:
        """Whether there are votes on all of these images."""
        return bool(np.isin(self.images.indices, self.read(stage).indices).all())

    def sampler_version(self, stage: Stage) -> int:
        """Of the sampler that drew the votes of these images, the oldest of several."""
        settings: TallySettings | None = self.settings(stage)
        oldest, indices = SAMPLER_VERSION, self.images.indices
        while settings is not None and self.store.is_older(settings, indices).any():
            oldest, settings = settings.sampler_version - 1, settings.older
        return oldest

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

        Raises:
            InputError: where votes of an older sampler would have to be gone on with.
        """
        settings, stored, indices = self.settings(stage), self.read(stage), self.images.indices
        done = np.flatnonzero(np.isin(indices, stored.indices))
        if settings.looks is not None and stops is not None:
            tally = stored.take(np.searchsorted(stored.indices, indices[done])).votes
            done = done[stops(tally, done).finished]
        missing = np.delete(indices, done)
        if len(missing):
            self._check_sampler(settings, len(missing))

        def keep(finished: Sequence[Finished[Tally]]) -> None:
            parts = [
                Stored(f.images, f.seconds + _seconds_before(stored, f.images), f.result)
                for f in finished
            ]
            self.store.append(settings, parts, {f.counted_by for f in finished})

        begun = stored.take(np.flatnonzero(np.isin(stored.indices, missing)))
        count = Counting(self.images, settings, self.sampling, stops, begun)
        at_most = "" if settings.looks is None else "up to "
        words = f"{settings.stage}: {at_most}{settings.num_samples} ablations per image"
        task = Task(self._network, count.group_size, count)
        execution.run(Work(words, len(indices), missing, task, keep))
        self.store.compact(settings)

    def _check_sampler(self, settings: TallySettings, num_missing: int) -> None:
        number = int(self.store.is_older(settings, self.images.indices).sum())
        if number:
            raise InputError(
                f"{number} of {len(self.images.indices)} images have {settings.name} votes in "
                f"{self.store.folder} that an older version of sparsecert drew, with a sampler "
                "that is gone. They are read and certified as they are, but cannot be gone on "
                f"with, and {num_missing} images have none or would be counted further. To count "
                f"all images anew move the files {settings.name}-*.parquet out of that folder, or "
                "give another --seed"
            )


@dataclass(frozen=True)
class Counting:
    """Counting the votes of one stage; see `Task`.

    Attributes:
        images: of which some are to be counted.
        settings: what the counts depend on.
        sampling: how ballots are sampled.
        stops: asked with rows of the images; needed under several looks.
        begun: what has been counted of some images at earlier looks.
    """

    images: RunImages
    settings: TallySettings
    sampling: str
    stops: StopRule | None
    begun: Stored[Tally]

    def __call__(self, smoothed: SmoothedClassifier, some: NDArray[np.int64]) -> Tally:
        """The counts of images with these indices."""
        indices, settings, stops = self.images.indices, self.settings, self.stops
        order = np.argsort(indices)
        rows = order[np.searchsorted(indices, some, sorter=order)]
        return smoothed.tally(
            self.images.dataset.batch(some),
            settings.num_samples,
            Stage[settings.stage.upper()],
            settings.seed,
            some,
            sampling="fixed" if settings.looks is None else self.sampling,
            stops=stops and (lambda tally, places: stops(tally, rows[places])),
            before=_counted_before(self.begun, some),
            # Ballots for evaluation are read one by one, by first choice.
            tracked=track_nothing(len(some)) if settings.stage == "evaluation" else None,
        )

    def group_size(self, smoothed: SmoothedClassifier) -> int:
        """Images that are counted together."""
        looks, dataset = self.settings.looks, self.images.dataset
        most = max(1, _NUMBERS_PER_GROUP // math.prod(dataset.input_shape))
        if looks is None:
            return min(most, max(1, _BALLOTS_PER_GROUP // self.settings.num_samples))
        pass_size = smoothed.pass_size(dataset.batch([0]))
        return min(most, math.ceil(_PASSES_PER_GROUP * pass_size / looks[0]))


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
