"""Result records: one JSON object per measured run, complete enough to repeat it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sparsecert._version import __version__
from sparsecert.data import Shard
from sparsecert.designs.design import design_settings
from sparsecert.errors import InputError, RunFolderError
from sparsecert.evaluation import Estimate
from sparsecert.json_values import check_types, read_object
from sparsecert.procedures.procedure import Measurement, Procedure
from sparsecert.records.output import write_output
from sparsecert.records.types import CERTIFICATION
from sparsecert.runs.config import RunConfig, command
from sparsecert.runs.folder import RunFolder

# Kinds of records; that of a certification has none.
BASE_ACCURACY = "base_accuracy"
ATTACK = "attack"
BEYOND = "beyond"  # certificates against other threats than sparse ones, or of the top K
SMOOTHED = "smoothed"  # the attacked classifier that a run folder holds


def make_record(
    procedure: Procedure,
    measurement: Measurement,
    limit: int | None = None,
    shard: Shard | None = None,
    named: RunFolder | None = None,
) -> dict[str, Any]:
    """The record of one measurement, as JSON values.

    Shares are numbers in [0, 1]; `intervals` holds the 95 % interval of each. Null stands for a
    median that is N/A.

    Args:
        procedure: that it was measured by.
        measurement: what was found.
        limit: number of images, spread evenly; None for all.
        shard: the share of them; None for all.
        named: the run folder of the command; by default the one that the votes are in.
    """
    run, dataset_name = measurement.images.run, measurement.images.dataset.name
    config, path = run.config, (named or run).path
    return {
        **derived_values(procedure, measurement, limit, shard),
        "command": f"{config.train_command(path)} && "
        f"{certify_command(path, config, dataset_name, procedure, limit, shard)}",
        "hardware": hardware(),
        "training_seconds": run.training_seconds(),
        "version": __version__,
    }


def derived_values(
    procedure: Procedure,
    measurement: Measurement,
    limit: int | None = None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """What configuration, votes and labels decide of a record: all but how they came about.

    Args: as for `make_record`.
    """
    images, result = measurement.images, measurement.evaluation
    usual = procedure.top == 1 and not measurement.threat.sizes
    return {
        **({} if usual else {"kind": BEYOND}),
        **classifier_values(images.run.config),
        "dataset": images.dataset.name,
        "num_images": result.num_images,
        **chosen_values(limit, shard),
        **procedure.to_record(measurement),
        "mean_num_samples": round(float(measurement.certification.num_samples.mean()), 1),
        "accuracy": result.accuracy.value,
        "abstained": result.abstained.value,
        "ablated_accuracy": result.ablated_accuracy,
        "median_certified_robustness": result.median,
        "median_certified_robustness_authors_convention": result.median_authors_convention,
        "certified_accuracy": [estimate.value for estimate in result.certified_accuracy],
        "intervals": {
            "accuracy": _ends(result.accuracy),
            "abstained": _ends(result.abstained),
            "median_certified_robustness": result.median_interval,
            "certified_accuracy": [_ends(estimate) for estimate in result.certified_accuracy],
        },
        "counted_by": sorted(procedure.counted_by(images)),
        "seconds": round(float(measurement.seconds.sum()), 1),
    }


def make_base_record(
    run: RunFolder, limit: int | None, train: Estimate, test: Estimate
) -> dict[str, Any]:
    """The record of a base classifier's accuracy on ablated inputs of either split.

    Args:
        run: the trained run.
        limit: number of inputs per split, drawn at random; None for all.
        train: accuracy on training inputs.
        test: accuracy on test inputs.
    """
    measured = command("base", run.path, limit=limit)
    return {
        "kind": BASE_ACCURACY,
        **classifier_values(run.config),
        "limit": limit,
        "train_accuracy": train.value,
        "test_accuracy": test.value,
        "intervals": {"train_accuracy": _ends(train), "test_accuracy": _ends(test)},
        "command": f"{run.config.train_command(run.path)} && {measured}",
        "hardware": hardware(),
        "training_seconds": run.training_seconds(),
        "version": __version__,
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON; see `write_output`."""
    write_output(path, to_text(record))


def to_text(record: Mapping[str, Any]) -> str:
    """A record as JSON."""
    return json.dumps(record, indent=2) + "\n"


def read_record(run: RunFolder) -> dict[str, Any]:
    """The run's latest record.

    Raises:
        RunFolderError: if there is none, or it is damaged.
    """
    if not run.record_path.exists():
        raise RunFolderError(
            f"{run.path} has not been certified yet: run `sparsecert certify {run.path}` first"
        )
    try:
        record = read_object(run.record_path)
        check_record(record, CERTIFICATION, run.config)
    except InputError as error:
        raise RunFolderError(
            f"{run.record_path} is damaged ({error}); run `sparsecert certify {run.path}` again, "
            "which reads the stored tallies"
        ) from error
    return record


def check_record(record: dict[str, Any], types: dict[str, Any], config: RunConfig) -> None:
    """Raise `InputError` for a record that is not of this run, or holds what no record does."""
    # Older ones had one way of sampling, one threat and one class; most are of no shard.
    older = {
        "sampling": "fixed",
        "threat": "sparse",
        "abstain": 0.0,
        "top": 1,
        "target": None,
        "shard": None,
    }
    check_types({**older, **record}, types, "the record")
    if record.get("shard") is not None:
        Shard.parse(record["shard"])
    if record["num_images"] < 1:
        raise InputError(f"expected images in it, got {record['num_images']}")
    own = json.loads(json.dumps(classifier_values(config) | {"dataset": record["dataset"]}))
    if different := [name for name, value in own.items() if record.get(name, record) != value]:
        raise InputError(f"it is of another run, with another {' and '.join(different)}")


def certify_command(
    run: object,
    config: RunConfig,
    dataset_name: str,
    procedure: Procedure,
    limit: int | None,
    shard: object | None,
) -> str:
    """The command that repeats the certification; `run` is its argument."""
    data = None if dataset_name == config.dataset else dataset_name
    usual = {"threat": "sparse", "abstain": 0.0, "top": 1}
    given = {n: v for n, v in asdict(procedure).items() if usual.get(n, v) != v or n not in usual}
    options = {"data": data, "limit": limit, "shard": shard}
    return command("certify", run, **options, **given)


def chosen_values(limit: int | None, shard: Shard | None) -> dict[str, Any]:
    """Which images were looked at, as every record says it; of a shard it says that too."""
    return {"limit": limit, **({} if shard is None else {"shard": str(shard)})}


def hardware() -> str:
    """Processor, cores and accelerator of this machine, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    words = f"{model}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        words += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return words


def classifier_values(config: RunConfig) -> dict[str, Any]:
    """What was trained, as every record says it."""
    radius = config.recipe.radius
    return {
        "dataset": config.dataset,
        **design_settings(config.design),
        "architecture": config.architecture,
        "encoding": config.encoding,
        "recipe": config.recipe.name,
        **({} if radius is None else {"radius_trained_for": radius}),
        "epochs": config.num_epochs,
        "precision": config.recipe.precision,
    }


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high
