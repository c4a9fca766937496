"""Repeating rows of a table: train what is missing, certify or attack, record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sparsecert import data
from sparsecert.attacks import AttackPlan, PlainClassifier
from sparsecert.attacks.campaign import attack_images
from sparsecert.attacks.record import attack_values
from sparsecert.attacks.run import attack_run
from sparsecert.errors import InputError
from sparsecert.evaluation import share
from sparsecert.procedures.execution import LocalExecution
from sparsecert.procedures.run import (
    base_accuracy,
    certify_images,
    load_evaluation_data,
    procedure_for,
    run_images,
)
from sparsecert.records import record as records
from sparsecert.reproduce.baselines import BASELINES, baseline_target
from sparsecert.reproduce.paper import (
    AttackedRow,
    CertifiedRow,
    PaperClassifier,
    PaperRow,
    PaperTable,
)
from sparsecert.runs.config import command
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train_run

PLAN = AttackPlan("pointwise")
HERE = LocalExecution(show_progress=True)


@dataclass(frozen=True)
class Options:
    """What narrows a table down, and where results go.

    Attributes:
        retained: values of k; all rows by default, and those without a k.
        dataset: of the rows; all by default.
        limit: test images per row, spread evenly; as many as the paper's by default (of
            attacks, 50).
        recipe: a key of `recipes.RECIPES`.
        epochs: instead of the recipe's.
        architecture: instead of the rows'.
        out: folder of the run folders.
        results: folder of the result records.
    """

    retained: tuple[int, ...] = ()
    dataset: str | None = None
    limit: int | None = None
    recipe: str = "paper"
    epochs: int | None = None
    architecture: str | None = None
    out: Path = Path("runs/reproduce")
    results: Path = Path("results")

    def __post_init__(self) -> None:
        data.check_limit(self.limit)


def chosen_rows(table: PaperTable, options: Options) -> Sequence[PaperRow]:
    """The rows of a table that the options leave.

    Raises:
        InputError: if none are left.
    """
    rows = [
        row
        for row in table.rows
        if options.dataset in (None, row.dataset)
        and (not options.retained or row.settings.get("num_retained") in options.retained)
    ]
    if not rows:
        has = ", ".join(f"{row.dataset}: {row.label}" for row in table.rows)
        raise InputError(f"no row of {table.name} is left; it has {has}")
    return rows


def trained_run(row: PaperClassifier, options: Options) -> RunFolder:
    """The row's run folder, trained by the recipe unless that is done."""
    recipe = options.recipe if options.epochs is None else f"{options.recipe}{options.epochs}"
    row = replace(row, architecture=options.architecture or row.architecture)
    return train_run(
        row.dataset,
        options.out / f"{row.folder_name}-{recipe}",
        options.recipe,
        design=row.design,
        design_settings=row.settings,
        encoding=row.encoding,
        architecture=row.architecture,
        epochs=options.epochs,
        show_progress=True,
    )


def repeat(table: PaperTable, row: PaperRow, options: Options) -> dict[str, Any]:
    """Train the row's classifier unless that is done, measure it, and write the record.

    What an earlier call left unfinished is gone on with.

    Args:
        table: names the record.
        row: what to repeat.
        options: recipe, number of images, folders.

    Returns:
        The record.
    """
    limit = options.limit or table.limit
    if isinstance(row, AttackedRow) and row.classifier != records.SMOOTHED:
        epochs = "" if options.epochs is None else f"-{options.epochs}"
        folder = options.out / f"{row.folder_name}{epochs}"
        record = _attacked_baseline(table, row, folder, limit, options.epochs)
    else:
        run = trained_run(row, options)
        folder = run.path
        if isinstance(row, CertifiedRow):
            settings = ("num_selection", "num_samples", "alpha")
            record = _certified(run, limit, {name: getattr(row, name) for name in settings})
        elif isinstance(row, AttackedRow):
            if not run.record_path.exists():  # else what was certified before is compared with
                _certified(run, limit)
            record = attack_run(run, PLAN, limit, execution=HERE)
        else:
            record = _base(run, table, limit)
    images = "" if limit is None else f"-n{limit}"
    records.write_record(options.results / f"{table.name}-{folder.name}{images}.json", record)
    return record


def _certified(
    run: RunFolder, limit: int | None, settings: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    procedure = procedure_for(run.config.design, **settings)
    measurement = certify_images(run_images(run, limit=limit), procedure, HERE)
    record = records.make_record(procedure, measurement, limit)
    records.write_record(run.record_path, record)
    return record


def _base(run: RunFolder, table: PaperTable, limit: int | None) -> dict[str, Any]:
    train, test = (
        base_accuracy(run, load_evaluation_data(run, split=split), limit, HERE)
        for split in ("train", "test")
    )
    return records.make_base_record(run, table.name, limit, train, test)


def _attacked_baseline(
    table: PaperTable, row: AttackedRow, folder: Path, limit: int | None, epochs: int | None
) -> dict[str, Any]:
    """Train a baseline unless that is done, and attack it; returns the record."""
    target = baseline_target(row.classifier, row.dataset, folder, epochs, show_progress=True)
    dataset = data.load(row.dataset, "test")
    indices = data.representatives(dataset.labels, limit)
    attacks = attack_images(target, dataset, indices, PLAN, HERE)
    options = {"data": row.dataset, "limit": limit, "epochs": epochs}
    victim = target.load()
    assert isinstance(victim, PlainClassifier)
    every = share(victim.predict(dataset.batch(range(len(dataset)))) == dataset.labels)
    return {
        "kind": records.ATTACK,
        "classifier": row.classifier,
        "design": "none",
        "epochs": BASELINES[row.classifier].epochs if epochs is None else epochs,
        **attack_values(dataset, PLAN, limit, attacks),
        "test_accuracy": every.value,
        "command": command("reproduce", table.name, **options),
        "training_seconds": None,
    }
