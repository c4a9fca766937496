"""Attacking images of a data set: resumable, each stored as it finishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsecert import data
from sparsecert.attacks.attack import AttackResult, Victim
from sparsecert.attacks.fixed import victim_of
from sparsecert.attacks.plan import AttackPlan, attacked_alike
from sparsecert.attacks.store import AttackSettings, AttackStore
from sparsecert.data import Dataset
from sparsecert.designs.family import FamilyDesign
from sparsecert.designs.threats import SPARSE
from sparsecert.procedures.execution import Execution, Finished, Task, Work
from sparsecert.procedures.procedure import Network, RunImages
from sparsecert.procedures.run import (
    MOST_IMAGES,
    procedure_for,
    recorded_images,
    recorded_procedure,
    run_images,
)
from sparsecert.records.record import read_record
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.store import Stored


@dataclass(frozen=True)
class Target:
    """A classifier to attack, and where results go.

    Attributes:
        load: the classifier, in any process; not loaded where every image has been attacked before.
        fingerprint: names it in stored results.
        folder: of the results.
    """

    load: Callable[[], Victim]
    fingerprint: str
    folder: Path


@dataclass(frozen=True)
class Certificates:
    """Certified radii of attacked images, from a run's stored votes.

    Attributes:
        radius: `(images,)` the largest radius, over the rules whose PREDICT is attacked, that
            is certified for the correct class; -1 where there is none.
        stored: whether there are votes of the image.
    """

    radius: NDArray[np.int64]
    stored: NDArray[np.bool_]


def run_target(run: RunFolder, rule: str | None = None, abstain: float = 0.0) -> Target:
    """A run's smoothed classifier.

    Args:
        run: a trained run.
        rule: the attacked one, of a fixed family; that of a sampled design is the plan's.
        abstain: of the ballots of a fixed family.
    """
    network = Network.of(procedure_for(run.config.design), run)
    return Target(partial(_victim, network, rule, abstain), run.fingerprint(), run.attacks_path)


def _victim(network: Network, rule: str | None, abstain: float) -> Victim:
    return victim_of(network(compile=False), rule, abstain)


def attack_images(
    target: Target,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: AttackPlan,
    execution: Execution,
) -> Stored[AttackResult]:
    """Attack the images that have not been attacked by this plan yet.

    Args:
        target: the classifier.
        dataset: the split that `indices` refer to.
        indices: the images.
        plan: the attack.
        execution: where.

    Returns:
        The attacks on all of these images, in their order.
    """
    store, settings = _store(target.folder, dataset), _settings(target.fingerprint, dataset, plan)

    def keep(finished: Sequence[Finished[AttackResult]]) -> None:
        for part in finished:
            store.append(settings, [Stored(part.images, part.seconds, part.result)])

    missing = np.setdiff1d(indices, store.read(settings).indices)
    words = f"{plan.attack}: images attacked"
    task = Task(partial(_load, target.load), _one_by_one, partial(_attack, plan, dataset))
    execution.run(Work(words, len(indices), missing, task, keep))
    stored = store.read(settings)
    return stored.take(np.searchsorted(stored.indices, indices))


def _load(load: Callable[[], Victim], compile: bool) -> Victim:
    """Attacks follow gradients, and ask for few ballots at a time: nothing is compiled."""
    return load()


def _one_by_one(victim: Victim) -> int:
    return 1


def _attack(
    plan: AttackPlan, dataset: Dataset, victim: Victim, images: NDArray[np.int64]
) -> AttackResult:
    return plan.run(victim, dataset.batch(images), dataset.labels[images], images)


def stored_attacks(
    run: RunFolder, dataset: Dataset, plan: AttackPlan, limit: int | None
) -> Stored[AttackResult]:
    """The attacks on a run's smoothed classifier by this plan that are stored.

    Args:
        run: the attacked run.
        dataset: the attacked split.
        plan: the attack.
        limit: number of images, spread evenly over the split; None for all.
    """
    store = _store(run.attacks_path, dataset)
    stored = store.read(_settings(run.fingerprint(), dataset, plan))
    chosen = data.representatives(dataset.labels, limit)
    return stored.take(np.flatnonzero(np.isin(stored.indices, chosen)))


def attacks_on(images: RunImages, plan: AttackPlan) -> Stored[AttackResult]:
    """The attacks on these images by this plan, from what is stored.

    Raises:
        InputError: if some of the images have not been attacked.
    """
    run, dataset = images.run, images.dataset
    stored = _store(run.attacks_path, dataset).read(_settings(run.fingerprint(), dataset, plan))
    return images.of(stored, f"attacks in {run.attacks_path}; run `sparsecert attack` first")


def images_to_attack(run: RunFolder, dataset_name: str | None, limit: int | None) -> RunImages:
    """Test images, evenly spread: over those that are certified, where they are enough.

    Args:
        run: the attacked run.
        dataset_name: whose test split; by default the run's own data set.
        limit: number of images; None for all.
    """
    images = run_images(run, dataset_name, limit)
    if not run.record_path.exists():
        return images
    record = read_record(run)
    if record["dataset"] != images.dataset.name:
        return images
    certified = recorded_images(run, record)
    enough = limit is not None and len(certified.indices) >= limit
    if not enough or np.isin(images.indices, certified.indices).all():
        return images
    return certified.take(data.evenly_spread(len(certified.indices), limit))


def stored_certificates(
    images: RunImages, rule: str | None = None, threat: str = SPARSE, abstain: float = 0.0
) -> Certificates | None:
    """What the run's stored votes certify about these images, by the run's latest record.

    Args:
        images: the attacked images.
        rule: the attacked one; None for majority and margin.
        threat: of the attack.
        abstain: of the ballots of a fixed family.

    Returns:
        The radii; None if the run has not been certified on this data set.
    """
    if not images.run.record_path.exists():
        return None
    record = read_record(images.run)
    if record["dataset"] != images.dataset.name:
        return None
    design = images.run.config.design
    procedure = replace(recorded_procedure(design, record), top=1)
    if isinstance(design, FamilyDesign):
        procedure = replace(procedure, threat=threat, abstain=abstain)
    stored = procedure.counted(images)
    radius = np.full(len(stored), -1, dtype=np.int64)
    if stored.any():
        for alike in attacked_alike(design, rule):
            measurement = replace(procedure, rule=alike).measure(images.take(stored))
            certified = measurement.certification
            right = certified.label == measurement.targets
            radius[stored] = np.maximum(radius[stored], np.where(right, certified.radius, -1))
    return Certificates(radius, stored)


def take_over_attacks(run: RunFolder, into: RunFolder, only: RunImages | None = None) -> None:
    """Add the attacks that one run folder holds to those in another of the same run.

    Args:
        run: where from.
        into: where to.
        only: the images; by default all.

    Raises:
        RunFolderError: for a part that is damaged or of another model.
    """
    theirs, ours = (
        AttackStore(
            folder.attacks_path, run.config.input_shape, run.config.num_classes, MOST_IMAGES
        )
        for folder in (run, into)
    )
    ours.take_over(theirs, into.fingerprint(), None if only is None else only.choice)


def _store(folder: Path, dataset: Dataset) -> AttackStore:
    return AttackStore(folder, dataset.input_shape, dataset.num_classes, len(dataset))


def _settings(fingerprint: str, dataset: Dataset, plan: AttackPlan) -> AttackSettings:
    return AttackSettings(fingerprint, dataset.fingerprint(), plan.to_json())
