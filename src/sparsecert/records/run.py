"""What `sparsecert certify` and `base` do: measure a trained run, and record it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecert.data import Shard
from sparsecert.procedures.execution import Execution
from sparsecert.procedures.procedure import Measurement, Procedure
from sparsecert.procedures.run import (
    base_accuracy,
    certify_images,
    load_evaluation_data,
    place_for,
    run_images,
)
from sparsecert.records.record import make_base_record, make_record, write_record
from sparsecert.runs.folder import RunFolder


def certify_run(
    run: RunFolder,
    procedure: Procedure,
    limit: int | None = None,
    dataset_name: str | None = None,
    execution: Execution | None = None,
    shard: Shard | None = None,
    out: Path | None = None,
) -> tuple[Measurement, dict[str, Any]]:
    """Count the votes that are missing, measure, and record the result in the run folder.

    Args:
        run: a trained run.
        procedure: how votes are obtained and read.
        limit: number of images, spread evenly over the test split; None for all.
        dataset_name: whose test split; by default the run's own data set.
        execution: where votes are counted; by default in this process.
        shard: the share of the images; it has a run folder of its own. None for all.
        out: the run folder to write to instead.

    Returns:
        The measurement and its record.
    """
    images = place_for(run_images(run, dataset_name, limit, shard), shard, out)
    measurement = certify_images(images, procedure, execution)
    record = make_record(procedure, measurement, limit, shard, run)
    write_record(images.run.record_path, record)
    return measurement, record


def measure_base(
    run: RunFolder,
    limit: int | None = None,
    execution: Execution | None = None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """The record of the base classifier's accuracy on ablated training and test inputs.

    Args:
        run: a trained run with a design that draws samples.
        limit: number of inputs of each split, drawn at random; None for all.
        execution: where ballots are counted; by default in this process.
        shard: the share of them; None for all.

    Raises:
        InputError: for a fixed family, whose ballots are not drawn.
    """
    train, test = (
        base_accuracy(run, load_evaluation_data(run, split=split), limit, execution, shard)
        for split in ("train", "test")
    )
    return make_base_record(run, limit, train, test)
