"""Repeating a row of Table 2: one classifier under the Pointwise attack."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from sparsecert import data
from sparsecert.attacks import AttackPlan, PlainClassifier
from sparsecert.attacks.campaign import attack_images
from sparsecert.attacks.record import attack_values
from sparsecert.attacks.run import attack_run
from sparsecert.evaluation import share
from sparsecert.procedures.execution import LocalExecution
from sparsecert.procedures.run import certify_images, procedure_for, run_images
from sparsecert.records.record import ATTACK, make_record, write_record
from sparsecert.reproduce.baselines import BASELINES, baseline_target
from sparsecert.reproduce.paper import AttackedRow
from sparsecert.runs.folder import RunFolder

PLAN = AttackPlan("pointwise")


def attack_smoothed(run: RunFolder, limit: int | None) -> dict[str, Any]:
    """Certify and attack the same images of a run; returns the attack's record."""
    procedure = procedure_for(run.config.design)
    here = LocalExecution(show_progress=True)
    if not run.record_path.exists():  # else what was certified before is compared with
        measurement = certify_images(run_images(run, limit=limit), procedure, here)
        write_record(run.record_path, make_record(procedure, measurement, limit))
    return attack_run(run, PLAN, limit, execution=here)


def attack_baseline(
    row: AttackedRow, folder: Path, limit: int | None, epochs: int | None
) -> dict[str, Any]:
    """Train a baseline unless that is done, and attack it; returns the record."""
    target = baseline_target(row.classifier, row.dataset, folder, epochs, show_progress=True)
    dataset = data.load(row.dataset, "test")
    indices = data.representatives(dataset.labels, limit)
    attacks = attack_images(target, dataset, indices, PLAN, LocalExecution(show_progress=True))
    words = ["sparsecert", "reproduce", "table2", "--data", row.dataset]
    words += [] if limit is None else ["--limit", str(limit)]
    words += [] if epochs is None else ["--epochs", str(epochs)]
    victim = target.load()
    assert isinstance(victim, PlainClassifier)
    every = share(victim.predict(dataset.batch(range(len(dataset)))) == dataset.labels)
    return {
        "kind": ATTACK,
        "classifier": row.classifier,
        "design": "none",
        "epochs": BASELINES[row.classifier].epochs if epochs is None else epochs,
        **attack_values(dataset, PLAN, limit, attacks),
        "test_accuracy": every.value,
        "command": shlex.join(words),
        "training_seconds": None,
    }
