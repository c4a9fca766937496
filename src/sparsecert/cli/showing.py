"""`sparsecert report`, `info` and `reproduce`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sparsecert.cli.options import (
    ExecutionOptions,
    LimitOption,
    RunArgument,
    ShardOption,
    announce,
    console,
    own_run,
    parse_shard,
)
from sparsecert.models import Architecture


def report_command(
    run: RunArgument,
    *,
    out: Annotated[
        Path | None,
        Parameter(
            help="Write the page to this file, and not into the run folder; - is standard output.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    open: Annotated[bool, Parameter(help="Open the page in a browser.", negative="")] = False,
) -> None:
    """Write the page of the run's latest certification: one self-contained HTML file."""
    from sparsecert.records.output import STANDARD_OUTPUT, check_outputs
    from sparsecert.records.record import read_record
    from sparsecert.report.page import write_report
    from sparsecert.reproduce.overview import beside_paper

    folder = own_run(run)
    record = read_record(folder)
    announce(run, record["dataset"])
    check_outputs(folder.path, out=out)
    page = write_report(folder, beside_paper(record), out)
    if out == STANDARD_OUTPUT:
        return
    console.print(f"report: {page}", soft_wrap=True)
    if open:
        webbrowser.open(page.resolve().as_uri())


def info_command(run: RunArgument) -> None:
    """Say what a run folder holds, or a run on the Hub."""
    from sparsecert.report import tables
    from sparsecert.runs.folder import RunFolder
    from sparsecert.runs.hub import locate

    folder = RunFolder(*locate(run))
    console.print(tables.terminal_table(folder.hub_name or str(run), tables.run_rows(folder)))


def merge_command(
    runs: Annotated[list[Path], Parameter(help="Folders of one run, such as RUN/shards/*.")],
    /,
    *,
    into: Annotated[Path, Parameter(help="Folder of the same run, or of none yet.")],
) -> None:
    """Join run folders of one run: each image once, then the results of all of them."""
    from sparsecert import merging
    from sparsecert.cli.attacking import report_violations
    from sparsecert.records.record import ATTACK, read_record
    from sparsecert.report import tables

    folders, target = merging.open_alike(runs, into)
    for name in {read_record(run)["dataset"] for run in folders if run.record_path.exists()}:
        announce(into, name)
    records = merging.merge(folders, target)
    console.print(tables.terminal_table(str(into), tables.run_rows(target)))
    for record in records:
        if record.get("kind") == ATTACK:
            report_violations(record)


def reproduce_command(
    name: Annotated[
        str,
        Parameter(
            help="table1 to table8, figure1 to figure5; or, from the records in --results: "
            "frontier, which draws accuracy against radius, or overview, which writes README.md."
        ),
    ],
    where: ExecutionOptions = ExecutionOptions(),  # noqa: B008 - frozen
    *,
    retained: Annotated[
        tuple[int, ...], Parameter(help="Only these k.", consume_multiple=True)
    ] = (),
    data: Annotated[str | None, Parameter(help="Only rows of this data set.")] = None,
    classifier: Annotated[
        tuple[str, ...],
        Parameter(help="Only these of Table 2, such as smoothed or cnn.", consume_multiple=True),
    ] = (),
    limit: LimitOption = None,
    shard: ShardOption = None,
    recipe: Literal["fast", "paper"] = "paper",
    epochs: Annotated[int | None, Parameter(help="Instead of the recipe's.")] = None,
    model: Annotated[
        Architecture | None, Parameter(help="Base classifier, instead of the paper's.")
    ] = None,
    out: Annotated[Path, Parameter(help="Folder of the run folders.")] = Path("runs/reproduce"),
    results: Annotated[Path, Parameter(help="Folder of the result records.")] = Path("results"),
) -> None:
    """Repeat a table or figure of the paper. Repeat the command to resume a killed run."""
    from sparsecert.reproduce import entries, experiment

    options = experiment.Options(
        retained,
        data,
        classifier,
        limit,
        recipe,
        epochs,
        model,
        out,
        results,
        parse_shard(shard),
        where.build(),
    )
    entries.reproduce(name, options, console)
