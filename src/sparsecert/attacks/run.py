"""What `sparsecert attack` does: attack a run's test images, and write the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsecert.attacks.campaign import (
    attack_images,
    images_to_attack,
    run_target,
    stored_certificates,
    take_over_attacks,
)
from sparsecert.attacks.plan import AttackPlan, attacked_rule
from sparsecert.attacks.record import attack_record_path, make_attack_record
from sparsecert.data import Shard
from sparsecert.procedures.execution import Execution, LocalExecution
from sparsecert.procedures.run import place_for
from sparsecert.records.record import write_record
from sparsecert.runs.folder import RunFolder


def attack_run(
    run: RunFolder,
    plan: AttackPlan,
    limit: int | None,
    dataset_name: str | None = None,
    execution: Execution | None = None,
    shard: Shard | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Attack the images that are missing, and record the attack in the run folder.

    Args:
        run: a trained run; what it has certified is compared with.
        plan: the attack.
        limit: number of images, spread evenly over the test split, or over those that are
            certified; None for all.
        dataset_name: whose test split; by default the run's own data set.
        execution: where images are attacked; by default in this process.
        shard: the share of the images; it has a run folder of its own. None for all.
        out: the run folder to write to instead.

    Returns:
        The record.
    """
    images = images_to_attack(run, dataset_name, limit)
    if shard is not None:
        images = images.take(shard.rows(len(images.indices)))
    plan = replace(plan, rule=attacked_rule(run.config.design, plan.rule))
    # First, since an attack is too dear to find afterwards that votes lack what the rule needs.
    certificates = stored_certificates(images, plan.rule, plan.threat, plan.abstain)
    place = place_for(images, shard, out).run
    if place is not run:
        take_over_attacks(run, place, images)
    target = run_target(place, plan.rule, plan.abstain)
    here = execution or LocalExecution()
    attacks = attack_images(target, images.dataset, images.indices, plan, here)
    record = make_attack_record(run, images.dataset, plan, limit, attacks, certificates, shard)
    write_record(attack_record_path(place, plan), record)
    return record
