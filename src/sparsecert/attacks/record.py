"""The record of an attack: one JSON object, complete enough to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from sparsecert._version import __version__
from sparsecert.attacks.attack import AttackResult
from sparsecert.attacks.campaign import Certificates
from sparsecert.attacks.plan import ATTACKS, AttackPlan
from sparsecert.attacks.summary import summarise, within_certificate
from sparsecert.data import Dataset, Shard
from sparsecert.designs.threats import SPARSE
from sparsecert.errors import InputError, RunFolderError
from sparsecert.evaluation import Estimate
from sparsecert.json_values import read_object
from sparsecert.records import types
from sparsecert.records.record import (
    ATTACK,
    SMOOTHED,
    check_record,
    chosen_values,
    classifier_values,
    hardware,
)
from sparsecert.runs.config import command
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.store import Stored


def make_attack_record(
    run: RunFolder,
    dataset: Dataset,
    plan: AttackPlan,
    limit: int | None,
    attacks: Stored[AttackResult],
    certificates: Certificates | None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """The record of an attack on a run's smoothed classifier, as JSON values.

    Args:
        run: the trained run.
        dataset: the attacked split.
        plan: the attack.
        limit: number of images, spread evenly; None for all.
        attacks: what became of them.
        certificates: of the same images, in the same order; None if the run has none.
        shard: the share of the images; None for all.
    """
    config = run.config
    commands = [
        config.train_command(run.path),
        attack_command(config.dataset, run, dataset, plan, limit, shard),
    ]
    return {
        "kind": ATTACK,
        "classifier": SMOOTHED,
        **classifier_values(config),
        **attack_values(dataset, plan, limit, attacks, certificates, shard),
        "command": " && ".join(commands),
        "training_seconds": run.training_seconds(),
    }


def attack_values(
    dataset: Dataset,
    plan: AttackPlan,
    limit: int | None,
    attacks: Stored[AttackResult],
    certificates: Certificates | None = None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """What a record says about the attack itself.

    Null stands for a median that is infinite, as half of the images withstood; and for what is
    counted within certified radii where nothing is certified.
    """
    summary = summarise(attacks.votes.size)
    needed = attacks.votes.drawn + attacks.votes.cached + attacks.votes.skipped
    return {
        "dataset": dataset.name,
        "attack": plan.attack,
        "rule": plan.rule,
        "plan": plan.to_json(),
        "num_images": summary.num_images,
        **chosen_values(limit, shard),
        "num_samples": plan.probe.num_samples,
        "alpha": plan.probe.alpha,
        "seed": plan.seed,
        "accuracy": summary.accuracy.value,
        "success": summary.success.value,
        "median_attack_magnitude": summary.median,
        "attack_magnitudes": attacks.votes.size.tolist(),
        **_within(attacks, certificates),
        "queries": int(attacks.votes.queries.sum()),
        "confirmations": int(attacks.votes.confirmations.sum()),
        "ballots": {
            "needed_without_savings": int(needed.sum()),
            "drawn": int(attacks.votes.drawn.sum()),
            "saved_by_cache": int(attacks.votes.cached.sum()),
            "saved_by_early_answers": int(attacks.votes.skipped.sum()),
        },
        "intervals": {
            "accuracy": _ends(summary.accuracy),
            "success": _ends(summary.success),
            "median_attack_magnitude": summary.median_interval,
        },
        "seconds": round(float(attacks.seconds.sum()), 1),
        "hardware": hardware(),
        "version": __version__,
    }


def attack_command(
    own_dataset: str,
    run: RunFolder,
    dataset: Dataset,
    plan: AttackPlan,
    limit: int | None,
    shard: Shard | None = None,
) -> str:
    """The command that repeats the attack; what is left out has its default."""
    default = AttackPlan(plan.attack, threat=plan.threat)
    options = {
        "repetitions": (plan.repetitions, default.repetitions),
        "steps": (plan.steps, default.steps),
        **{
            field.name: (getattr(plan.probe, field.name), getattr(default.probe, field.name))
            for field in fields(plan.probe)
        },
        "seed": (plan.seed, default.seed),
    }
    return command(
        "attack",
        run.path,
        attack=plan.attack,
        data=None if dataset.name == own_dataset else dataset.name,
        limit=len(dataset) if limit is None else limit,
        shard=shard,
        budget=plan.budget,
        rule=plan.rule,
        threat=None if plan.threat == SPARSE else plan.threat,
        abstain=plan.abstain or None,
        **{name: value for name, (value, usual) in options.items() if value != usual},
    )


def attack_record_path(run: RunFolder, plan: AttackPlan) -> Path:
    """Where the latest record of this attack on the plan's rule is."""
    rule = "" if plan.rule is None else f"-{plan.rule}"
    return run.attacks_path / f"{plan.attack}{rule}.json"


def read_attack_records(run: RunFolder) -> list[dict[str, Any]]:
    """The latest record of each attack on each rule, rule by rule.

    Raises:
        RunFolderError: if one is damaged.
    """
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for path in sorted(run.attacks_path.glob("[!.]*.json")):
        record = _read(run, path)
        order = list(ATTACKS).index(record["attack"])
        records.setdefault((record["rule"] or "", order), record)
    return [records[key] for key in sorted(records)]


def _read(run: RunFolder, path: Path) -> dict[str, Any]:
    try:
        record = read_object(path)
        check_record(record, types.ATTACK, run.config)
        if AttackPlan.from_json(record["plan"]).attack != record["attack"]:
            raise InputError("its plan is of another attack")
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise RunFolderError(
            f"{path} is damaged ({error}); remove it, and run `sparsecert attack {run.path}` with "
            "the options it had again, which reads the stored attacks"
        ) from error
    return record


def contradictions(record: Mapping[str, Any]) -> list[str]:
    """Sentences about successes within certified radii; none if there are none."""
    sentences = []
    if wrong := record.get("misclassified_within_certificate"):
        # Of an attack on the class of most votes the better of majority and margin is taken.
        error = "2 alpha (the larger of two counts)" if record.get("rule") is None else "alpha"
        sentences.append(
            f"{record['attack']} changed the class of test inputs within their certified "
            f"radius: no. {', '.join(map(str, wrong))}. A certificate is wrong with probability "
            f"{error} at most, and only if the attack is that good too: stop and find the bug"
        )
    if unsure := record.get("abstained_within_certificate"):
        sentences.append(
            f"{record['attack']} made the classifier abstain on test inputs within their "
            f"certified radius: no. {', '.join(map(str, unsure))}. That contradicts no certificate "
            "(the class may still lead by less than PREDICT can tell), but it is rare: look at them"
        )
    return sentences


def _within(attacks: Stored[AttackResult], certificates: Certificates | None) -> dict[str, Any]:
    if certificates is None:
        return {
            "images_with_votes": 0,
            "attempts_within_certificate": None,
            "successes_within_certificate": None,
            "misclassified_within_certificate": None,
            "abstained_within_certificate": None,
            "certified_radii": None,
        }
    within = within_certificate(attacks.votes.size, attacks.votes.label, certificates.radius)
    return {
        "images_with_votes": int(np.count_nonzero(certificates.stored)),
        "attempts_within_certificate": within.attempts,
        "successes_within_certificate": len(within.misclassified) + len(within.abstained),
        "misclassified_within_certificate": attacks.indices[within.misclassified].tolist(),
        "abstained_within_certificate": attacks.indices[within.abstained].tolist(),
        "certified_radii": certificates.radius.tolist(),
    }


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high
