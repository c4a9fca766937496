"""The `sparsecert` command: train, predict, certify, attack, report, info, reproduce, demo."""

from __future__ import annotations

import sys
import warnings
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from sparsecert._version import __version__
from sparsecert.errors import InputError, RunFolderError

if TYPE_CHECKING:  # commands import what they need, so that --help does not wait for torch
    from sparsecert.runs import RunFolder
    from sparsecert.workflow import Procedure

# The demo's k; docs/choosing.md shows the sweep it was chosen from.
DEMO_RETAINED = 14
DEMO_EPOCHS = 200

app = cyclopts.App(
    name="sparsecert",
    help="Provable robustness of classifiers against sparse (L0) attacks.",
    version=__version__,
)
# What is printed holds the names of paths and classes, which are not markup.
console = Console(markup=False)

Architecture = Literal["interpolating-cnn", "paper-cnn", "resnet18", "resnet50", "mlp"]
RunArgument = Annotated[Path, Parameter(help="Folder that `sparsecert train --out` wrote.")]
DataOption = Annotated[
    str | None,
    Parameter(
        name="--data",
        help="Data set to evaluate on, by name or path; by default the run's own test split.",
    ),
]
LimitOption = Annotated[
    int | None, Parameter(help="Number of images, spread evenly over the test split.")
]


@app.command(name="train")
def train_command(
    *,
    data: Annotated[
        str,
        Parameter(help="digits, breast-cancer, mnist, cifar10, a Hub name, a local path or .npz."),
    ],
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")],
    retained: Annotated[
        int | None, Parameter(help="k: features each ablated input retains.")
    ] = None,
    recipe: Literal["fast", "paper"] = "fast",
    encoding: Literal["two-channel", "mean"] = "two-channel",
    model: Annotated[
        Architecture | None,
        Parameter(help="Base classifier; by default chosen by recipe and shape of the inputs."),
    ] = None,
    epochs: Annotated[int | None, Parameter(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        int | None, Parameter(help="Instead of the recipe's, where memory is short.")
    ] = None,
    seed: int = 0,
    design: Annotated[
        Literal["uniform", "lee2019"],
        Parameter(help="Ablation, or the noise of Lee et al. (2019) to compare with."),
    ] = "uniform",
    keep_probability: Annotated[
        float | None, Parameter(help="lee2019: probability that a feature keeps its value.")
    ] = None,
    num_values: Annotated[
        int | None, Parameter(help="lee2019: values a feature can take; 2 is black and white.")
    ] = None,
) -> None:
    """Train a base classifier on ablated inputs. Repeat the command to resume a killed run."""
    from sparsecert.workflow import train_run

    wanted: dict[str, object]
    other: tuple[object, ...]
    if design == "uniform":
        wanted, other = {"retained": retained}, (keep_probability, num_values)
    else:
        wanted = {"keep-probability": keep_probability, "num-values": num_values}
        other = (retained, None if encoding == "two-channel" else encoding)
    if None in wanted.values() or any(option is not None for option in other):
        options = " and ".join(f"--{name}" for name in wanted)
        raise InputError(f"expected {options} for the design {design}, and none of the other's")
    settings = {
        "num_retained": retained,
        "keep_probability": keep_probability,
        "num_values": num_values,
    }
    run = train_run(
        data,
        out,
        recipe,
        design=design,
        design_settings=settings,
        encoding=encoding if design == "uniform" else "none",
        architecture=model,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        show_progress=True,
    )
    console.print(f"trained: {run.path}")


@app.command(name="certify")
def certify_command(
    run: RunArgument,
    *,
    data: DataOption = None,
    limit: LimitOption = None,
    num_selection: Annotated[int, Parameter(help="n0: ablations that choose the class.")] = 1_000,
    num_samples: Annotated[int, Parameter(help="n: ablations that estimate its share.")] = 10_000,
    alpha: Annotated[float, Parameter(help="Error probability of each certificate.")] = 0.05,
    rule: Annotated[
        Literal["majority", "margin"], Parameter(help="Corollary 1 or Corollary 2.")
    ] = "majority",
    seed: int = 0,
    compile: Annotated[
        bool, Parameter(help="Compile the network first; pays on runs of many minutes.")
    ] = False,
    tsv: Annotated[Path | None, Parameter(help="Write one line per image to this file.")] = None,
    record: Annotated[Path | None, Parameter(help="Write the result as JSON to this file.")] = None,
) -> None:
    """Certify test images. Votes are stored: repeat with another alpha or rule at no cost."""
    from sparsecert.counting import SamplingPlan
    from sparsecert.runs import RunFolder
    from sparsecert.workflow import Procedure

    procedure = Procedure(limit, SamplingPlan(num_selection, num_samples, seed), alpha, rule)
    _certify(RunFolder.open(run), procedure, data, compile=compile, tsv=tsv, record=record)


@app.command(name="predict")
def predict_command(
    run: RunArgument,
    *,
    data: DataOption = None,
    limit: LimitOption = None,
    num_samples: Annotated[int, Parameter(help="Ablations per image.")] = 10_000,
    alpha: Annotated[float, Parameter(help="Probability of a wrong class per image.")] = 0.05,
    seed: int = 0,
    compile: Annotated[bool, Parameter(help="Compile the network first.")] = False,
    show: Annotated[int, Parameter(help="Number of predictions to print.")] = 10,
) -> None:
    """Predict test images by vote, abstaining where the vote is too close to call."""
    from rich.table import Table

    from sparsecert import counting, workflow
    from sparsecert.data import evenly_spread
    from sparsecert.errors import check_alpha
    from sparsecert.evaluation import accuracy_and_abstentions
    from sparsecert.report import tables
    from sparsecert.runs import RunFolder
    from sparsecert.streams import Stage

    check_alpha(alpha)
    folder = RunFolder.open(run)
    dataset = workflow.load_evaluation_data(folder, data)
    indices = evenly_spread(len(dataset), limit)
    plan = counting.SamplingPlan(num_samples=num_samples, seed=seed)
    counting.count_votes(
        folder, dataset, indices, plan, [Stage.PREDICTION], compile=compile, show_progress=True
    )
    prediction = workflow.predict_run(folder, dataset, indices, plan, alpha)
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
    console.print(table, tables.terminal_table(f"{dataset.name}, alpha = {alpha}", rows))


@app.command(name="attack")
def attack_command(
    run: RunArgument,
    *,
    attack: Annotated[
        Literal["pointwise", "sparse-rs", "sigma-zero"],
        Parameter(help="The paper's, a random search, or a gradient attack."),
    ] = "pointwise",
    data: DataOption = None,
    limit: LimitOption = 20,
    budget: Annotated[
        int | None, Parameter(help="Most pixels or features to change; any by default.")
    ] = None,
    repetitions: Annotated[int, Parameter(help="pointwise: starts per image.")] = 10,
    start: Annotated[
        Literal["noise", "nearest"],
        Parameter(help="pointwise: from noise, or the nearest training image of another class."),
    ] = "noise",
    steps: Annotated[
        int | None,
        Parameter(
            help="sparse-rs: steps without success that end the search (300); "
            "sigma-zero: gradient steps (200)."
        ),
    ] = None,
    num_samples: Annotated[int, Parameter(help="n: ablations per prediction.")] = 10_000,
    alpha: Annotated[
        float, Parameter(help="The prediction's probability of a wrong class.")
    ] = 0.05,
    num_search: Annotated[
        int, Parameter(help="Ablations by which a search tells better from worse.")
    ] = 1_000,
    num_gradient: Annotated[int, Parameter(help="Ablations that a gradient averages over.")] = 256,
    seed: int = 0,
    record: Annotated[Path | None, Parameter(help="Write the result as JSON to this file.")] = None,
) -> None:
    """Find the fewest changes that fool the prediction. Repeat the command to resume."""
    from sparsecert.attacks import AttackPlan, Probe
    from sparsecert.attacks.run import attack_run
    from sparsecert.files import check_writable
    from sparsecert.records import write_record
    from sparsecert.report import tables
    from sparsecert.runs import RunFolder

    probe = Probe(num_samples, alpha, num_search, num_gradient)
    plan = AttackPlan(attack, budget, repetitions, start, steps, probe, seed)
    folder = RunFolder.open(run)
    if record is not None:
        check_writable(record)
    result = attack_run(folder, plan, limit, data, show_progress=True)
    if record is not None:
        write_record(record, result)
    unit = folder.read_config().design.unit(folder.read_config().input_shape)
    console.print(
        tables.terminal_table(f"{attack} on {result['dataset']}", tables.attack_rows(result, unit))
    )
    shout(result)


@app.command(name="report")
def report_command(
    run: RunArgument,
    *,
    open: Annotated[bool, Parameter(help="Open the page in a browser.", negative="")] = False,
) -> None:
    """Write the page of the run's latest certification: one self-contained HTML file."""
    from sparsecert.report.page import write_report
    from sparsecert.runs import RunFolder

    page = write_report(RunFolder.open(run))
    console.print(f"report: {page}", soft_wrap=True)
    if open:
        webbrowser.open(page.resolve().as_uri())


@app.command(name="info")
def info_command(run: RunArgument) -> None:
    """Say what a run folder holds."""
    from sparsecert.report import tables
    from sparsecert.runs import RunFolder

    console.print(tables.terminal_table(str(run), tables.run_rows(RunFolder(run))))


@app.command(name="reproduce")
def reproduce_command(
    name: Annotated[
        str,
        Parameter(
            help="table1 to table8, figure1 to figure5, or overview, which writes README.md from "
            "the records in --results."
        ),
    ],
    *,
    retained: Annotated[
        tuple[int, ...], Parameter(help="Only these k.", consume_multiple=True)
    ] = (),
    data: Annotated[str | None, Parameter(help="Only rows of this data set.")] = None,
    limit: LimitOption = None,
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

    options = experiment.Options(retained, data, limit, recipe, epochs, model, out, results)
    entries.reproduce(name, options, console)


@app.command(name="demo")
def demo_command(
    *,
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")] = Path("runs/demo"),
) -> None:
    """Train, certify and report on handwritten digits, in about a minute on a CPU."""
    from sparsecert import workflow
    from sparsecert.report.page import write_report

    run = workflow.train_run(
        "digits",
        out,
        "fast",
        design_settings={"num_retained": DEMO_RETAINED},
        epochs=DEMO_EPOCHS,
        show_progress=True,
    )
    _certify(run, workflow.Procedure())
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
    from sparsecert import export, records, workflow
    from sparsecert.files import check_writable
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
    title = f"{dataset.name}, {design}, {procedure.rule} rule, alpha = {procedure.alpha}"
    summary = tables.summary_rows(measurement.evaluation, unit)
    certified = tables.certified_rows(measurement.evaluation)
    console.print(tables.terminal_table(title, summary))
    console.print(tables.terminal_table("certified accuracy by rho", certified))


def shout(record: Mapping[str, Any]) -> None:
    """Say what an attack's record has against the certificates.

    Raises:
        SystemExit: with status 1, if the class changed within a certified radius.
    """
    from sparsecert.attacks.record import contradictions

    for sentence in contradictions(record):
        _complain(f"error: {sentence}", style="bold red")
    if record["misclassified_within_certificate"]:
        sys.exit(1)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _complain(f"warning: {message}", style="yellow")


def _complain(sentence: str, style: str | None = None) -> None:
    Console(stderr=True, markup=False, highlight=False).print(sentence, style=style, soft_wrap=True)


def main(words: Sequence[str] | None = None) -> None:
    """Run a command line; a problem at the border ends in one sentence and exit status 2.

    Args:
        words: the arguments; the process's own by default.
    """
    warnings.showwarning = _show_warning
    try:
        app(sys.argv[1:] if words is None else words, result_action="return_value")
    except (InputError, RunFolderError) as error:
        _complain(f"error: {error}", style="red")
        sys.exit(2)
    except KeyboardInterrupt:
        _complain("stopped; repeat the command to go on")
        sys.exit(130)
