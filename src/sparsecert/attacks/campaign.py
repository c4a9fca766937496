"""Attacking images of a data set: resumable, each stored as it finishes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsecert import data, progress
from sparsecert.attacks.attack import AttackResult, Victim
from sparsecert.attacks.fixed import fixed_victim
from sparsecert.attacks.plan import MOST_VOTES, AttackPlan
from sparsecert.attacks.store import AttackSettings, AttackStore, StoredAttacks
from sparsecert.certification import certify_tally, select_label
from sparsecert.data import Dataset
from sparsecert.designs.design import check_rule_of, sampled
from sparsecert.designs.partitions import Partitions
from sparsecert.fixed_certification import certify_ballots
from sparsecert.procedures.family import cast_ballots, fixed_classifier, stored_ballots
from sparsecert.procedures.sampled import (
    SamplingPlan,
    counted_images,
    smoothed_classifier,
    stored_votes,
)
from sparsecert.procedures.sequential import replay, sequentially_counted_images
from sparsecert.records.record import read_record, recorded_procedure
from sparsecert.runs.folder import RunFolder
from sparsecert.streams import Stage


@dataclass(frozen=True)
class Target:
    """A classifier to attack, and where results go.

    Attributes:
        victim: the classifier.
        fingerprint: names it in stored results.
        folder: of the results.
    """

    victim: Victim
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


def run_target(run: RunFolder, rule: str | None = None) -> Target:
    """A run's smoothed classifier.

    Args:
        run: a trained run.
        rule: the attacked one, of a fixed family; that of a sampled design is the plan's.
    """
    victim: Victim
    if rule is not None and isinstance(run.read_config().design, Partitions):
        victim = fixed_victim(fixed_classifier(run), rule)
    else:
        victim = smoothed_classifier(run)
    return Target(victim, run.fingerprint(), run.attacks_path)


def attacked_rule(run: RunFolder, rule: str | None) -> str | None:
    """The rule to attack, by default the design's first; None for majority and margin.

    Raises:
        InputError: for a rule that the design does not have.
    """
    design = run.read_config().design
    rule = design.rules[0] if rule is None else rule
    check_rule_of(design, rule)
    return None if rule in MOST_VOTES else rule


def attack_images(
    target: Target,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: AttackPlan,
    *,
    show_progress: bool = False,
) -> StoredAttacks:
    """Attack the images that have not been attacked by this plan yet.

    Args:
        target: the classifier.
        dataset: the split that `indices` refer to.
        indices: the images.
        plan: the attack.
        show_progress: draw a progress bar.

    Returns:
        The attacks on all of these images, in their order.
    """
    store = AttackStore(target.folder, math.prod(dataset.input_shape))
    settings = AttackSettings(target.fingerprint, dataset.fingerprint(), plan.to_json())
    missing = np.setdiff1d(indices, store.read(settings).index)
    with progress.bar(show_progress) as bar:
        task = bar.add_task(
            f"{plan.attack}: images attacked",
            total=len(indices),
            completed=len(indices) - len(missing),
        )
        for index in missing:
            started = time.perf_counter()
            rows = np.array([index])
            result = plan.run(target.victim, dataset.batch(rows), dataset.labels[rows], rows)
            seconds = time.perf_counter() - started
            store.append(settings, _stored(rows, result, seconds))
            bar.update(task, advance=1)
    stored = store.read(settings)
    return stored.take(np.searchsorted(stored.index, indices))


def stored_attacks(
    run: RunFolder, dataset: Dataset, plan: AttackPlan, limit: int | None
) -> StoredAttacks:
    """The attacks on a run's smoothed classifier by this plan that are stored.

    Args:
        run: the attacked run.
        dataset: the attacked split.
        plan: the attack.
        limit: number of images, spread evenly over the split; None for all.
    """
    store = AttackStore(run.attacks_path, math.prod(dataset.input_shape))
    settings = AttackSettings(run.fingerprint(), dataset.fingerprint(), plan.to_json())
    stored = store.read(settings)
    return stored.take(
        np.flatnonzero(np.isin(stored.index, data.representatives(dataset.labels, limit)))
    )


def stored_certificates(
    run: RunFolder, dataset: Dataset, indices: NDArray[np.int64], rule: str | None = None
) -> Certificates | None:
    """What the run's stored votes certify about these images, by the run's latest record.

    Args:
        run: the attacked run.
        dataset: the attacked split.
        indices: the images.
        rule: the attacked one; None for majority and margin.

    Returns:
        The radii; None if the run has not been certified on this data set.
    """
    if not run.record_path.exists():
        return None
    record = read_record(run)
    if record["dataset"] != dataset.name:
        return None
    design = run.read_config().design
    if rule is not None and isinstance(design, Partitions):
        cast_ballots(run, dataset, indices)
        ballots = stored_ballots(run, dataset, indices)
        certified = certify_ballots(ballots.votes.scores, design.ablation, rule)
        correct = certified.label == dataset.labels[indices]
        return Certificates(
            np.where(correct, certified.radius, -1), np.ones(len(indices), dtype=np.bool_)
        )
    procedure = recorded_procedure(record)
    sequential = procedure.plan.sampling == "sequential"
    counted = (sequentially_counted_images if sequential else counted_images)(
        run, dataset, procedure.plan
    )
    stored = np.isin(indices, counted)
    radius = np.full(len(indices), -1, dtype=np.int64)
    if stored.any():
        rules = MOST_VOTES if rule is None else (rule,)
        radius[stored] = _radius(
            run, dataset, indices[stored], procedure.plan, procedure.alpha, rules
        )
    return Certificates(radius, stored)


def _radius(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float,
    rules: Sequence[str],
) -> NDArray[np.int64]:
    """The largest radius over rules that certify one class; -1 where that is wrong."""
    selection = stored_votes(run, dataset, indices, plan, Stage.SELECTION).votes
    top = select_label(selection, rules[0])
    design = sampled(run.read_config().design)
    rules = [rule for rule in rules if rule in design.rules]
    if plan.sampling == "sequential":
        radii = [
            replay(run, dataset, indices, plan, alpha, rule, top).certification.radius
            for rule in rules
        ]
    else:
        estimation = stored_votes(run, dataset, indices, plan, Stage.ESTIMATION).votes
        radii = [certify_tally(estimation, top, design, alpha, rule).radius for rule in rules]
    return np.where(top == dataset.labels[indices], np.max(radii, axis=0), -1)


def _stored(indices: NDArray[np.int64], result: AttackResult, seconds: float) -> StoredAttacks:
    return StoredAttacks(
        indices,
        result.size,
        result.label,
        result.queries,
        result.drawn,
        result.cached,
        result.skipped,
        result.confirmations,
        np.full(len(indices), seconds),
        result.adversarial.flatten(1).cpu().numpy().astype(np.float32),
    )
