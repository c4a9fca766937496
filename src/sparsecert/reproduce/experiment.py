"""Repeating rows of a table: train what is missing, certify or attack, record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sparsecert import data
from sparsecert.attacks import AttackPlan, PlainClassifier
from sparsecert.attacks.campaign import attack_images
from sparsecert.attacks.record import attack_values
from sparsecert.attacks.run import attack_run
from sparsecert.data import Shard
from sparsecert.errors import InputError
from sparsecert.evaluation import share
from sparsecert.procedures.execution import Execution, LocalExecution
from sparsecert.procedures.run import procedure_for
from sparsecert.records import record as records
from sparsecert.records.run import certify_run, measure_base
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


@dataclass(frozen=True)
class Options:
    """What narrows a table down, and where results go.

    Attributes:
        retained: values of k; all rows by default, and those without a k.
        dataset: of the rows; all by default.
        classifiers: of the rows of Table 2, as their records name them; all by default.
        limit: test images per row, spread evenly; as many as the paper's by default (of
            attacks, 50).
        recipe: a key of `recipes.RECIPES`.
        epochs: instead of the recipe's.
        architecture: instead of the rows'.
        out: folder of the run folders.
        results: folder of the result records.
        shard: the share of each row's images; it is written to a run folder of its own, and no
            record to `results`. None for all.
        execution: where ballots are counted and images attacked.
    """

    retained: tuple[int, ...] = ()
    dataset: str | None = None
    classifiers: tuple[str, ...] = ()
    limit: int | None = None
    recipe: str = "paper"
    epochs: int | None = None
    architecture: str | None = None
    out: Path = Path("runs/reproduce")
    results: Path = Path("results")
    shard: Shard | None = None
    execution: Execution = field(default_factory=lambda: LocalExecution(show_progress=True))

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
        and (not options.classifiers or getattr(row, "classifier", None) in options.classifiers)
    ]
    if not rows:
        has = ", ".join(f"{row.dataset}: {row.label}" for row in table.rows)
        raise InputError(f"no row of {table.name} is left; it has {has}")
    return rows


def trained_run(row: PaperClassifier, options: Options) -> RunFolder:
    """The row's run folder, trained by the recipe unless that is done.

    Raises:
        InputError: if it is not, and this is the work of a shard: one process trains.
    """
    recipe = options.recipe if options.epochs is None else f"{options.recipe}{options.epochs}"
    row = replace(row, architecture=options.architecture or row.architecture)
    out = options.out / f"{row.folder_name}-{recipe}"
    if options.shard is not None and not RunFolder(out).is_trained:
        raise _untrained(out)
    return train_run(
        row.dataset,
        out,
        options.recipe,
        design=row.design,
        design_settings=row.settings,
        encoding=row.encoding,
        architecture=row.architecture,
        epochs=options.epochs,
        show_progress=True,
    )


def _untrained(folder: Path) -> InputError:
    return InputError(
        f"expected a trained classifier in {folder}, which shards do not train; repeat this "
        "command without --shard and with --limit 1 first, in one process"
    )


def repeat(table: PaperTable, row: PaperRow, options: Options) -> dict[str, Any]:
    """Train the row's classifier unless that is done, measure it, and write the record.

    What an earlier call left unfinished is gone on with. Of a shard the record is of its images,
    and is not written.

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
        record = _attacked_baseline(table, row, folder, limit, options)
    else:
        run = trained_run(row, options)
        folder = run.path
        if isinstance(row, CertifiedRow):
            settings = ("num_selection", "num_samples", "alpha")
            record = _certified(run, limit, options, {n: getattr(row, n) for n in settings})
        elif isinstance(row, AttackedRow):
            if not run.record_path.exists():  # else what was certified before is compared with
                _certified(run, limit, options)
            record = attack_run(run, PLAN, limit, None, options.execution, options.shard)
        else:
            record = measure_base(run, limit, options.execution, options.shard)
    if options.shard is None:
        images = "" if limit is None else f"-n{limit}"
        records.write_record(options.results / f"{table.name}-{folder.name}{images}.json", record)
    return record


def _certified(
    run: RunFolder,
    limit: int | None,
    options: Options,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    procedure = procedure_for(run.config.design, **settings)
    return certify_run(run, procedure, limit, None, options.execution, options.shard)[1]


def _attacked_baseline(
    table: PaperTable, row: AttackedRow, folder: Path, limit: int | None, options: Options
) -> dict[str, Any]:
    """Train a baseline unless that is done, and attack it; returns the record.

    Attacks of all shards go into one folder: each is a file of its own, and none is removed.
    """
    epochs = options.epochs
    trained = (folder / "model.safetensors").exists() or row.classifier == "nearest-neighbour"
    if options.shard is not None and not trained:
        raise _untrained(folder)
    target = baseline_target(row.classifier, row.dataset, folder, epochs, show_progress=True)
    dataset = data.load(row.dataset, "test")
    indices = data.representatives(dataset.labels, limit)
    if options.shard is not None:
        indices = indices[options.shard.rows(len(indices))]
    attacks = attack_images(target, dataset, indices, PLAN, options.execution)
    flags = {
        "data": row.dataset,
        "classifier": row.classifier,
        "limit": limit,
        "epochs": epochs,
    }
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
        "command": command("reproduce", table.name, **flags),
        "training_seconds": None,
    }
