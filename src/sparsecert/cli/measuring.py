"""`sparsecert certify`, `predict` and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from sparsecert.cli.options import (
    DataOption,
    LimitOption,
    RuleOption,
    RunArgument,
    SamplingOption,
    console,
)

if TYPE_CHECKING:  # commands import what they need, so that --help does not wait for torch
    from sparsecert.procedures.procedure import Procedure
    from sparsecert.runs.folder import RunFolder

# The demo's k; docs/choosing.md shows the sweep it was chosen from.
DEMO_RETAINED = 14
DEMO_EPOCHS = 200


def certify_command(
    run: RunArgument,
    *,
    data: DataOption = None,
    limit: LimitOption = None,
    num_selection: Annotated[int, Parameter(help="n0: ablations that choose the class.")] = 1_000,
    num_samples: Annotated[int, Parameter(help="n: ablations that estimate its share.")] = 10_000,
    sampling: SamplingOption = "fixed",
    alpha: Annotated[float, Parameter(help="Error probability of each certificate.")] = 0.05,
    rule: RuleOption = None,
    bound: Annotated[
        Literal["sum", "exact"],
        Parameter(help="partition: sum is fast, exact never certifies less, and is slow."),
    ] = "sum",
    seed: int = 0,
    compile: Annotated[
        bool, Parameter(help="Compile the network first; pays on runs of many minutes.")
    ] = False,
    tsv: Annotated[Path | None, Parameter(help="Write one line per image to this file.")] = None,
    record: Annotated[Path | None, Parameter(help="Write the result as JSON to this file.")] = None,
) -> None:
    """Certify test images. Votes are stored: repeat with another alpha or rule at no cost."""
    from sparsecert.procedures.procedure import Procedure
    from sparsecert.procedures.sampled import SamplingPlan
    from sparsecert.runs.folder import RunFolder

    plan = SamplingPlan(num_selection, num_samples, seed, sampling)
    procedure = Procedure(limit, plan, alpha, rule, bound)
    _certify(RunFolder.open(run), procedure, data, compile=compile, tsv=tsv, record=record)


def predict_command(
    run: RunArgument,
    *,
    data: DataOption = None,
    limit: LimitOption = None,
    num_samples: Annotated[int, Parameter(help="Ablations per image.")] = 10_000,
    sampling: SamplingOption = "fixed",
    alpha: Annotated[float, Parameter(help="Probability of a wrong class per image.")] = 0.05,
    rule: RuleOption = None,
    seed: int = 0,
    compile: Annotated[bool, Parameter(help="Compile the network first.")] = False,
    show: Annotated[int, Parameter(help="Number of predictions to print.")] = 10,
) -> None:
    """Predict test images by vote, abstaining where the vote is too close to call."""
    from rich.table import Table

    from sparsecert.evaluation import accuracy_and_abstentions
    from sparsecert.procedures.procedure import Procedure, predict_run
    from sparsecert.procedures.sampled import SamplingPlan
    from sparsecert.report import tables
    from sparsecert.runs.folder import RunFolder

    folder = RunFolder.open(run)
    plan = SamplingPlan(num_samples=num_samples, seed=seed, sampling=sampling)
    procedure = Procedure(limit, plan, alpha, rule)
    dataset, prediction = predict_run(folder, procedure, data, compile=compile, show_progress=True)
    design, indices = folder.read_config().design, procedure.indices(dataset)
    table = Table("image", "class", "prediction", "share of votes")
    for row in range(min(show, len(indices))):
        label = int(prediction.label[row])
        table.add_row(
            str(indices[row]),
            dataset.class_names[dataset.labels[indices[row]]],
            "abstains" if label < 0 else folder.read_config().class_names[label],
            f"{prediction.counts[row].max() / prediction.counts[row].sum():.1%}",
        )
    accuracy, abstained = accuracy_and_abstentions(prediction, dataset.labels[indices])
    rows = [
        ("images", str(len(indices))),
        ("classification accuracy", tables.percent(accuracy)),
        ("abstained", tables.percent(abstained)),
    ]
    if sampling == "sequential":
        rows.append(("ballots per image, mean", f"{prediction.num_samples.mean():,.0f}"))
    title = f"{dataset.name}, {procedure.rule_of(design)} rule"
    console.print(table, tables.terminal_table(title, rows))


def demo_command(
    *,
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")] = Path("runs/demo"),
) -> None:
    """Train, certify and report on handwritten digits, in about two minutes on a CPU."""
    from sparsecert.procedures.procedure import Procedure
    from sparsecert.report.page import write_report
    from sparsecert.runs.train import train_run

    run = train_run(
        "digits",
        out,
        "fast",
        design_settings={"num_retained": DEMO_RETAINED},
        epochs=DEMO_EPOCHS,
        show_progress=True,
    )
    _certify(run, Procedure())
    console.print(f"report: {write_report(run)}", soft_wrap=True)


def _certify(
    run: RunFolder,
    procedure: Procedure,
    data: str | None = None,
    *,
    compile: bool = False,
    tsv: Path | None = None,
    record: Path | None = None,
) -> None:
    """Count what is missing, evaluate, write the record, print the tables."""
    from sparsecert.files import check_writable
    from sparsecert.procedures import procedure as workflow
    from sparsecert.records import record as records
    from sparsecert.records import tsv as export
    from sparsecert.report import tables

    for path in filter(None, (record, tsv)):
        check_writable(path)  # what would fail after hours of counting fails now
    dataset, measurement = workflow.certify_run(
        run, procedure, data, compile=compile, show_progress=True
    )
    result = records.make_record(run, dataset, procedure, measurement)
    for path in filter(None, (run.record_path, record)):
        records.write_record(path, result)
    if tsv is not None:
        export.write_tsv(tsv, measurement)
    design = run.read_config().design
    unit = design.unit(dataset.input_shape)
    title = f"{dataset.name}, {design}, {result['rule']} rule, alpha = {result['alpha']}"
    summary = tables.summary_rows(measurement, unit, procedure.plan.sampling)
    certified = tables.certified_rows(measurement.evaluation)
    console.print(tables.terminal_table(title, summary))
    console.print(tables.terminal_table("certified accuracy by rho", certified))
