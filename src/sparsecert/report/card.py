"""The card of a run that is shared: a README.md with metadata as the Hugging Face Hub reads them.

It is written from the run's configuration and records, which others may have made: their texts are
set as code, so that they are no markup.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from sparsecert.attacks.record import contradictions, read_attack_records
from sparsecert.data.hub import HUB_NAMES
from sparsecert.evaluation import Estimate
from sparsecert.procedures.procedure import Procedure
from sparsecert.procedures.run import recorded_procedure
from sparsecert.records.record import certify_command, read_record
from sparsecert.report import tables
from sparsecert.runs.config import RunConfig, command
from sparsecert.runs.folder import RunFolder

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_LISTED_RADII = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def model_card(run: RunFolder, name: str) -> str:
    """The text of README.md.

    Args:
        run: a finished run, certified or not.
        name: of its repository, `user/name`.

    Raises:
        RunFolderError: if a record is damaged.
    """
    config = run.config
    record = read_record(run) if run.record_path.exists() else None
    unit = config.design.unit(config.input_shape)
    folder = Path("runs") / name.split("/")[-1]
    procedure = None if record is None else recorded_procedure(config.design, record)
    return _TEMPLATE.render(
        metadata=_metadata(config, record, name),
        name=name,
        unit=unit,
        config=config,
        record=record,
        results=_results(record, unit) if record else [],
        certified=_certified(record) if record else [],
        attacks=[(attack, tables.attack_rows(attack, unit)) for attack in read_attack_records(run)],
        contradictions=contradictions,
        seconds=run.training_seconds(),
        uncertain=bool(record and record["alpha"]),
        training=config.train_command(folder),
        certifying=_certify_command(folder, config, record, procedure),
        ours=_certify_command(name, config, record, procedure),
    )


def _metadata(config: RunConfig, record: Mapping[str, Any] | None, name: str) -> str:
    """The card's YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    images = len(config.input_shape) == 3
    task = "image-classification" if images else "tabular-classification"
    results = []
    if record is not None:
        dataset = _hub_dataset(record["dataset"])
        shown = dataset or Path(record["dataset"]).name
        measured = {
            "accuracy": ("accuracy of the vote", record["accuracy"]),
            "median-certified-robustness": (
                f"median certified robustness ({config.design.unit(config.input_shape)})",
                record["median_certified_robustness"],
            ),
        }
        settings = {key: record[key] for key in ("alpha", "rule", "num_images", "num_samples")}
        results = [
            EvalResult(
                task_type=task,
                dataset_type=shown,
                dataset_name=shown,
                dataset_split="test",
                metric_type=kind,
                metric_name=words,
                metric_value=value,
                metric_args=settings,
            )
            for kind, (words, value) in measured.items()
            if value is not None
        ]
    dataset = _hub_dataset(config.dataset)
    data = ModelCardData(
        library_name="sparsecert",
        pipeline_tag=task,
        tags=["sparsecert", "certified-robustness", "randomized-ablation", "sparse-attacks"],
        datasets=None if dataset is None else [dataset],
        model_name=name.split("/")[-1],
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _hub_dataset(name: str) -> str | None:
    """The name of a data set on the Hub; None for one that is elsewhere."""
    known = HUB_NAMES.get(name, name)
    return known if _HUB_NAME.fullmatch(known) and not Path(name).exists() else None


def _results(record: Mapping[str, Any], unit: str) -> list[tuple[str, str]]:
    """Name and value of what was measured, shares with their 95 % intervals."""
    ends = record["intervals"]
    return [
        ("accuracy of the vote", _share(record["accuracy"], ends["accuracy"])),
        ("abstained", _share(record["abstained"], ends["abstained"])),
        (
            f"median certified robustness ({unit})",
            tables.median(
                record["median_certified_robustness"], ends["median_certified_robustness"]
            ),
        ),
    ]


def _certified(record: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Radius and certified accuracy, of a few radii."""
    ends, shares = record["intervals"]["certified_accuracy"], record["certified_accuracy"]
    return [(rho, _share(shares[rho], ends[rho])) for rho in _LISTED_RADII if rho < len(shares)]


def _share(value: float, ends: Sequence[float]) -> str:
    return tables.percent(Estimate(value, *ends))


def _certify_command(
    run: object,
    config: RunConfig,
    record: Mapping[str, Any] | None,
    procedure: Procedure | None,
) -> str:
    """What certifies as the record says, or by default where there is none."""
    if record is None or procedure is None:
        return command("certify", run)
    limit, shard = record["limit"], record.get("shard")
    return certify_command(run, config, record["dataset"], procedure, limit, shard)


def _visible(text: object) -> str:
    """Text in which what cannot be seen, the end of a line too, is written as its number."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def _fence(text: str, least: int) -> str:
    """More backticks than there are in a row in the text."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def _code(text: object) -> str:
    """As code within a line."""
    shown = _visible(text)
    fence = _fence(shown, 1)
    return f"{fence}{shown}{fence}" if "`" not in shown else f"{fence} {shown} {fence}"


def _block(text: object) -> str:
    """As a block of code."""
    shown = _visible(text).replace(" && ", " &&\n")
    fence = _fence(shown, 3)
    return f"{fence}sh\n{shown}\n{fence}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{math.ceil(seconds / 60)} min"


_ENVIRONMENT = jinja2.Environment(  # Markdown: the filters keep texts from being markup
    loader=jinja2.PackageLoader("sparsecert.report", "."),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {"code": _code, "block": _block, "duration": _duration}
_TEMPLATE = _ENVIRONMENT.get_template("card.md")
