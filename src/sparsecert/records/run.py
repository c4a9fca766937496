"""What `sparsecert certify` does: certify a run's test images, and write the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecert.data import Shard
from sparsecert.procedures.execution import Execution
from sparsecert.procedures.procedure import Measurement, Procedure
from sparsecert.procedures.run import certify_images, place_for, run_images
from sparsecert.records.record import make_record, write_record
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
