"""`sparsecert certify`, `predict`, `base` and `demo`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from sparsecert.cli.options import (
    CertificationOptions,
    CompileOption,
    DataOption,
    ExecutionOptions,
    JsonOption,
    LimitOption,
    OutOption,
    PredictionOptions,
    RecordOption,
    RunArgument,
    ShardOption,
    announce_own_data,
    console,
    own_run,
    parse_shard,
    print_error,
)

if TYPE_CHECKING:  # commands import what they need, so that --help does not wait for torch
    from sparsecert.runs.folder import RunFolder

# The demo's k; docs/choosing.md shows the sweep it was chosen from.
DEMO_RETAINED = 14
DEMO_EPOCHS = 200
DEMO_PATH = Path("runs/demo")


def certify_command(
    run: RunArgument,
    how: CertificationOptions = CertificationOptions(),  # noqa: B008 - frozen
    where: ExecutionOptions = ExecutionOptions(),  # noqa: B008 - frozen
    *,
    data: DataOption = None,
    limit: LimitOption = None,
    shard: ShardOption = None,
    out: OutOption = None,
    compile: CompileOption = False,
    tsv: Annotated[
        Path | None,
        Parameter(
            help="Write one line per image to this file; - is standard output.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    record: RecordOption = None,
    json: JsonOption = False,
) -> None:
    """Certify test images. Votes are stored: repeat with another alpha or rule at no cost."""
    folder = own_run(run)
    announce_own_data(run, folder.config.dataset, data)
    _certify(
        folder,
        how,
        where,
        data,
        limit,
        shard=shard,
        out=out,
        compile=compile,
        tsv=tsv,
        record=record,
        json=json,
    )


def predict_command(
    run: RunArgument,
    how: PredictionOptions = PredictionOptions(),  # noqa: B008 - frozen
    where: ExecutionOptions = ExecutionOptions(),  # noqa: B008 - frozen
    *,
    data: DataOption = None,
    limit: LimitOption = None,
    shard: ShardOption = None,
    out: OutOption = None,
    compile: CompileOption = False,
    show: Annotated[
        int, Parameter(help="Number of predictions to print.", validator=validators.Number(gte=0))
    ] = 10,
    json: JsonOption = False,
) -> None:
    """Predict test images by vote, abstaining where the vote is too close to call."""
    from rich.table import Table

    from sparsecert.evaluation import accuracy_and_abstentions
    from sparsecert.procedures.run import place_for, run_images
    from sparsecert.report import tables
    from sparsecert.report.words import inputs_of, one_of, share

    folder, part = own_run(run), parse_shard(shard)
    config = folder.config
    here = where.build(compile=compile)
    procedure = how.procedure(folder, here)
    announce_own_data(run, config.dataset, data)
    images = place_for(run_images(folder, data, limit, part), part, out)
    prediction = procedure.predict(images, here)
    dataset, indices = images.dataset, images.indices
    if json:
        console.print_json(
            data={
                "dataset": dataset.name,
                **asdict(procedure),
                "indices": indices.tolist(),
                "labels": images.targets.tolist(),
                "predictions": prediction.label.tolist(),
                "counts": prediction.counts.tolist(),
            }
        )
        return
    inputs = inputs_of(config.design.unit(config.input_shape))
    table = Table(one_of(inputs), "class", "prediction", "share of votes")
    for row in range(min(show, len(indices))):
        label = int(prediction.label[row])
        table.add_row(
            str(indices[row]),
            dataset.class_names[images.targets[row]],
            "abstains" if label < 0 else config.class_names[label],
            share(prediction.counts[row].max() / prediction.counts[row].sum(), 1),
        )
    accuracy, abstained = accuracy_and_abstentions(prediction, images.targets)
    rows = [
        (inputs, str(len(indices))),
        ("classification accuracy", tables.percent(accuracy)),
        ("abstained", tables.percent(abstained)),
    ]
    if procedure.sampling != "fixed":
        rows.append(
            (f"ballots per {one_of(inputs)}, mean", f"{prediction.num_samples.mean():,.0f}")
        )
    title = f"{dataset.name}, {procedure.rule} rule"
    console.print(table, tables.terminal_table(title, rows))


def base_command(
    run: RunArgument,
    where: ExecutionOptions = ExecutionOptions(),  # noqa: B008 - frozen
    *,
    limit: Annotated[
        int | None, Parameter(help="Inputs of each split, drawn at random; all by default.")
    ] = None,
    compile: CompileOption = False,
    record: RecordOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the base classifier on ablated training and test inputs, one ablation each.

    Certified radii follow the second number; a first one far above it says that the network has
    learnt its training inputs by heart.
    """
    from sparsecert.evaluation import Estimate
    from sparsecert.records.output import check_outputs
    from sparsecert.records.record import to_text, write_record
    from sparsecert.records.run import measure_base
    from sparsecert.report import tables

    folder = own_run(run)
    check_outputs(folder.path, record=record)
    result = measure_base(folder, limit, where.build(compile=compile))
    if record is not None:
        write_record(record, result)
    if json:
        print(to_text(result), end="")
        return
    config = folder.config
    rows = []
    for name, split in (("train_accuracy", "training"), ("test_accuracy", "test")):
        accuracy = Estimate(result[name], *result["intervals"][name])
        rows.append((f"{split} inputs", tables.percent(accuracy)))
    title = f"{config.dataset}, {config.design}: accuracy on ablated inputs"
    console.print(tables.terminal_table(title, rows))


def demo_command(
    *,
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")] = DEMO_PATH,
) -> None:
    """Train, certify and report on handwritten digits, in about two minutes on a CPU."""
    from sparsecert.report.page import write_report

    run = demo_run(out)
    _certify(run, CertificationOptions(), ExecutionOptions())
    console.print(f"report: {write_report(run)}", soft_wrap=True)


def demo_run(out: Path) -> RunFolder:
    """The run of the demo: trained here, resumed, or finished before."""
    from sparsecert.runs.train import train_run

    return train_run(
        "digits",
        out,
        "fast",
        design_settings={"num_retained": DEMO_RETAINED},
        epochs=DEMO_EPOCHS,
        show_progress=True,
    )


def _certify(
    run: RunFolder,
    how: CertificationOptions,
    where: ExecutionOptions,
    data: str | None = None,
    limit: int | None = None,
    *,
    shard: str | None = None,
    out: Path | None = None,
    compile: bool = False,
    tsv: Path | None = None,
    record: Path | None = None,
    json: bool = False,
) -> None:
    """Count what is missing, evaluate, write the record, print the tables."""
    from sparsecert.records.output import check_outputs
    from sparsecert.records.record import to_text, write_record
    from sparsecert.records.run import certify_run
    from sparsecert.records.tsv import write_tsv
    from sparsecert.report import tables

    check_outputs(run.path, record=record, tsv=tsv)
    design = run.config.design
    here, share = where.build(compile=compile), parse_shard(shard)
    procedure = how.procedure(run, here)
    measurement, result = certify_run(run, procedure, limit, data, here, share, out)
    images = measurement.images
    if len(ways := result["counted_by"]) > 1:
        print_error(
            "these votes were cast in several ways, which may differ in the last bits of a logit: "
            f"{'; '.join(ways)}. Strictly, no certificate is about one classifier; to exclude it, "
            "count a run in one way",
            "yellow",
        )
    if record is not None:
        write_record(record, result)
    if tsv is not None:
        write_tsv(tsv, measurement)
    if json:
        print(to_text(result), end="")
        return
    title = f"{images.dataset.name}, {design}, {procedure.rule} rule, alpha = {procedure.alpha}"
    if "target" in result:
        title += f", counted until {result['target']} is decided"
    unit = design.unit(images.dataset.input_shape)
    summary = tables.summary_rows(measurement, unit, procedure.sampling, procedure.top)
    certified = tables.certified_rows(measurement)
    by = measurement.threat.kind if measurement.threat.sizes else "rho"
    console.print(tables.terminal_table(title, summary))
    console.print(tables.terminal_table(f"certified accuracy by {by}", certified))
