"""A run's ballots on a fixed family: every set's, resumable, stored as images finish."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsecert import progress
from sparsecert.data import Dataset
from sparsecert.designs.family import FixedAblation
from sparsecert.designs.partitions import Partitions
from sparsecert.devices import best_device
from sparsecert.errors import InputError
from sparsecert.procedures.sampled import in_groups, places
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.votes.ballots import Ballots, BallotStore, ranks_of
from sparsecert.votes.store import Stored, VoteSettings

# As many images at once as keep the ensemble's matrix products large.
_BALLOTS_PER_GROUP = 100_000


def family_of(run: RunFolder) -> FixedAblation:
    """The run's family of retained sets.

    Raises:
        InputError: for a run whose ablations are drawn at random.
    """
    design = run.read_config().design
    if not isinstance(design, Partitions):
        raise InputError(f"expected a run with the design partition, got {design.name}")
    return design.ablation


def fixed_classifier(run: RunFolder, *, compile: bool = False) -> FixedSmoothedClassifier:
    """The run's model as a smoothed classifier, on the best device there is."""
    config = run.read_config()
    return FixedSmoothedClassifier(
        run.load_model().to(best_device()),
        family_of(run),
        config.num_classes,
        config.build_encoding(),
        precision=config.recipe.precision,
        compile=compile,
    )


def cast_ballots(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> None:
    """Cast the ballots that are not among the run's tallies yet, and store them as they come.

    Args:
        run: a trained run with a fixed family.
        dataset: the split that `indices` refer to.
        indices: the images.
        compile: run the base classifier through `torch.compile`.
        show_progress: draw a progress bar.
    """
    smoothed = fixed_classifier(run, compile=compile)
    store, settings = _store(run), _settings(run, dataset)
    missing = np.setdiff1d(indices, store.read(settings).indices)
    num_sets = smoothed.ablation.num_sets

    def cast(rows: NDArray[np.int64]) -> NDArray[np.integer]:
        return ranks_of(smoothed.ballots(dataset.batch(rows)).numpy())

    group = max(1, _BALLOTS_PER_GROUP // num_sets)
    with progress.bar(show_progress) as bar:
        task = bar.add_task(
            f"ballots: {num_sets} sets per image",
            total=len(indices),
            completed=len(indices) - len(missing),
        )
        for finished in in_groups(missing, group, cast, bar, task):
            store.append(settings, [Stored(i, s, Ballots(ranks)) for i, s, ranks in finished])
    store.compact(settings)


def stored_ballots(run: RunFolder, dataset: Dataset, indices: NDArray[np.int64]) -> Stored[Ballots]:
    """The ballots about these images, in their order, from the run's tallies.

    Raises:
        InputError: if some of the images have none.
    """
    stored = _store(run).read(_settings(run, dataset))
    what = f"ballots in {run.tallies_path}; run `sparsecert certify` first"
    return stored.take(places(indices, stored.indices, what))


def _store(run: RunFolder) -> BallotStore:
    num_sets, num_classes = family_of(run).num_sets, run.read_config().num_classes
    return BallotStore(run.tallies_path, num_sets, num_classes)


def _settings(run: RunFolder, dataset: Dataset) -> VoteSettings:
    return VoteSettings(run.fingerprint(), dataset.fingerprint())
