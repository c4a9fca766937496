"""Repeating rows of a table: train what is missing, certify or attack, record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsecert.data import check_limit
from sparsecert.errors import InputError
from sparsecert.procedures.execution import LocalExecution
from sparsecert.procedures.run import (
    base_accuracy,
    certify_images,
    load_evaluation_data,
    procedure_for,
    run_images,
)
from sparsecert.records import record as records
from sparsecert.reproduce.attacked import attack_baseline, attack_smoothed
from sparsecert.reproduce.paper import (
    AttackedRow,
    CertifiedRow,
    PaperClassifier,
    PaperRow,
    PaperTable,
)
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train_run


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
        check_limit(self.limit)


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
    if options.architecture is not None:
        row = replace(row, architecture=options.architecture)
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
    if options.limit is None:
        options = replace(options, limit=table.limit)
    if isinstance(row, AttackedRow) and row.classifier != records.SMOOTHED:
        epochs = "" if options.epochs is None else f"-{options.epochs}"
        folder = options.out / f"{row.folder_name}{epochs}"
        record = attack_baseline(row, folder, options.limit, options.epochs)
    else:
        run = trained_run(row, options)
        folder = run.path
        if isinstance(row, CertifiedRow):
            record = _certified(run, row, options)
        elif isinstance(row, AttackedRow):
            record = attack_smoothed(run, options.limit)
        else:
            record = _base(run, table, options)
    images = "" if options.limit is None else f"-n{options.limit}"
    records.write_record(options.results / f"{table.name}-{folder.name}{images}.json", record)
    return record


def _certified(run: RunFolder, row: CertifiedRow, options: Options) -> dict[str, Any]:
    settings = {name: getattr(row, name) for name in ("num_selection", "num_samples", "alpha")}
    procedure = procedure_for(run.config.design, **settings)
    here = LocalExecution(show_progress=True)
    measurement = certify_images(run_images(run, limit=options.limit), procedure, here)
    record = records.make_record(procedure, measurement, options.limit)
    records.write_record(run.record_path, record)
    return record


def _base(run: RunFolder, table: PaperTable, options: Options) -> dict[str, Any]:
    splits = {split: load_evaluation_data(run, split=split) for split in ("train", "test")}
    accuracies = {
        split: base_accuracy(run, dataset, options.limit, LocalExecution(show_progress=True))
        for split, dataset in splits.items()
    }
    return records.make_base_record(run, table.name, options.limit, **accuracies)
