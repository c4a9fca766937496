"""Joining run folders of one run: those of shards, or of several machines.

Votes and attacks are joined first, each image once. Then every result that the folders' records
speak of is computed anew from the joined votes, as an unsharded command would have done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsecert.attacks.campaign import (
    attacks_on,
    images_to_attack,
    stored_certificates,
    take_over_attacks,
)
from sparsecert.attacks.plan import AttackPlan
from sparsecert.attacks.record import attack_record_path, make_attack_record, read_attack_records
from sparsecert.errors import InputError
from sparsecert.procedures.run import recorded_procedure, run_images, take_over_votes
from sparsecert.records.record import make_record, read_record, write_record
from sparsecert.runs.folder import RunFolder


def open_alike(sources: Sequence[Path], into: Path) -> tuple[list[RunFolder], RunFolder]:
    """The folders to join, and the one to join them in, which is made where it is missing.

    Raises:
        RunFolderError: if they are not folders of one trained run.
    """
    runs = [RunFolder.open(path) for path in sources]
    target = runs[0].copied_to(into)
    for run in runs:
        run.check_fingerprint(target.fingerprint(), f"{into} holds")
    return runs, target


def merge(runs: Sequence[RunFolder], into: RunFolder) -> list[dict[str, Any]]:
    """Join what run folders of one run hold; safe to kill at any moment, and to repeat.

    Args:
        runs: where from.
        into: where to.

    Returns:
        The records that were written: of the certification that the folders' records are of, if
        they are, and of each attack.

    Raises:
        RunFolderError: for votes that are damaged or of another model.
        InputError: if the folders were certified in different ways, or votes are still missing;
            what is there has been joined then.
    """
    for run in runs:
        take_over_votes(run, into)
        take_over_attacks(run, into)
    certified = _certified(runs, into)
    attacked = {
        json.dumps([record["plan"], record["dataset"], record["limit"]], sort_keys=True): record
        for run in runs
        for record in read_attack_records(run)
    }.values()
    # An attack chooses its images by the record that is there when it begins.
    images = [images_to_attack(into, record["dataset"], record["limit"]) for record in attacked]
    written = []
    if certified is not None:
        procedure = recorded_procedure(into.config.design, certified)
        limit = certified["limit"]
        measurement = procedure.measure(run_images(into, certified["dataset"], limit))
        written.append(make_record(procedure, measurement, limit))
        write_record(into.record_path, written[-1])
    for some, record in zip(images, attacked, strict=True):
        plan = AttackPlan.from_json(record["plan"])
        attacks = attacks_on(some, plan)
        certificates = stored_certificates(some, plan.rule, plan.threat, plan.abstain)
        written.append(
            make_attack_record(into, some.dataset, plan, record["limit"], attacks, certificates)
        )
        write_record(attack_record_path(into, plan), written[-1])
    return written


def _certified(runs: Sequence[RunFolder], into: RunFolder) -> dict[str, Any] | None:
    """One of the folders' records, which say the same of images and procedure; None without any."""
    design = into.config.design
    records = [read_record(run) for run in runs if run.record_path.exists()]
    ways = {(recorded_procedure(design, r), r["dataset"], r["limit"]): r for r in records}
    if len(ways) > 1:
        told = "; ".join(f"{way}, of {name}, limit {limit}" for way, name, limit in ways)
        raise InputError(
            f"the votes are joined, but the folders were certified in different ways ({told}); "
            f"run `sparsecert certify {into.path}`, which reads them, with the options of one"
        )
    return next(iter(ways.values()), None)
