"""Results in words: the same rows for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from sparsecert.evaluation import Estimate, Evaluation
from sparsecert.procedures.procedure import Measurement
from sparsecert.records.record import read_record
from sparsecert.runs.folder import RunFolder


def percent(estimate: Estimate) -> str:
    """A share with its 95 % interval, in percent."""
    return f"{estimate.value:.2%} [{estimate.low:.2%}, {estimate.high:.2%}]".replace("%", " %")


def median(
    value: float | None, ends: Sequence[float | None] | None = None, none: str = "N/A"
) -> str:
    """A median, with its interval if there is one.

    Args:
        value: of certified robustness, which may be N/A.
        ends: of the interval.
        none: stands for None.
    """
    shown = [none if number is None else f"{number:g}" for number in (value, *(ends or ()))]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if ends else shown[0]


def magnitude(value: float | None, ends: Sequence[float | None] | None = None) -> str:
    """A median attack magnitude; None where half of the images or more withstood."""
    return median(value, ends, "none found")


def summary_rows(
    measurement: Measurement, unit: str, sampling: str = "fixed"
) -> list[tuple[str, str]]:
    """Name and value of every quantity of an evaluation.

    Args:
        measurement: what was measured.
        unit: what the radius counts, "pixels" or "features".
        sampling: how ballots were sampled; their number is told where it is sequential.
    """
    evaluation = measurement.evaluation
    rows = [
        ("images", str(evaluation.num_images)),
        ("classification accuracy", percent(evaluation.accuracy)),
        ("abstained", percent(evaluation.abstained)),
        ("base classifier's accuracy on ablated inputs", f"{evaluation.ablated_accuracy:.2%}"),
        (
            f"median certified robustness ({unit})",
            median(evaluation.median, evaluation.median_interval),
        ),
        (
            "the same, uncertified counted as radius 0",
            median(evaluation.median_authors_convention),
        ),
    ]
    if sampling == "sequential":
        mean = measurement.certification.num_samples.mean()
        rows.append(("ballots per image that estimate, mean", f"{mean:,.0f}"))
        rows.append(
            ("images counted less far than this rule asks", str(measurement.num_unfinished))
        )
    return rows


def magnitude_head(unit: str) -> str:
    """What a table calls a median attack magnitude, in pixels or features."""
    return f"median attack magnitude ({unit})"


def within_certificate(record: Mapping[str, Any]) -> str:
    """Successes within a certified radius of an attack's record, with the number of attempts."""
    if record["successes_within_certificate"] is None:
        return "no certificates"
    attempts = record["attempts_within_certificate"]
    return f"{record['successes_within_certificate']} of {attempts} images"


def ballots(record: Mapping[str, Any]) -> str:
    """Ballots drawn and saved by an attack; nothing for classifiers that cast none."""
    counts = record["ballots"]
    needed = counts["needed_without_savings"]
    if not needed:
        return ""
    return (
        f"{counts['drawn']:,} of {needed:,} ({counts['drawn'] / needed:.1%}); "
        f"{counts['saved_by_cache'] / needed:.1%} known, "
        f"{counts['saved_by_early_answers'] / needed:.1%} not needed"
    )


def attack_rows(record: Mapping[str, Any], unit: str) -> list[tuple[str, str]]:
    """Name and value of what an attack's record reports.

    Args:
        record: the record.
        unit: what a magnitude counts, "pixels" or "features".
    """
    images, ends = record["num_images"], record["intervals"]
    return [
        ("images", str(images)),
        ("correct when unchanged", percent(Estimate(record["accuracy"], *ends["accuracy"]))),
        ("fooled by the attack", percent(Estimate(record["success"], *ends["success"]))),
        (
            magnitude_head(unit),
            magnitude(record["median_attack_magnitude"], ends["median_attack_magnitude"]),
        ),
        ("successes within a certified radius", within_certificate(record)),
        ("queries per image", f"{record['queries'] / images:.0f}"),
        ("seconds per image", f"{record['seconds'] / images:.1f}"),
        ("ballots drawn", ballots(record)),
    ]


def certified_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Rho and certified accuracy at rho."""
    return [
        (str(rho), percent(estimate)) for rho, estimate in enumerate(evaluation.certified_accuracy)
    ]


def run_rows(run: RunFolder) -> list[tuple[str, str]]:
    """What a run folder holds.

    Raises:
        RunFolderError: if it is not a run folder, or damaged.
    """
    config = run.config
    recipe = config.recipe
    if run.is_trained:
        state = f"finished, fingerprint {run.fingerprint()}"
    else:
        state = "not finished; repeat the train command to go on"
    start = config.start
    after = "" if start is None else f" after {start.epochs} in {start.path}"
    aim = "" if recipe.radius is None else f" for {recipe.radius}"
    parts = sorted(path.name for path in run.tallies_path.glob("[!.]*.parquet"))
    attacks = sorted(run.attacks_path.glob("[!.]*.json"))
    shards = sorted(path.name for path in run.shards_path.glob("[!.]*"))
    return [
        ("data", f"{config.dataset}, inputs of shape {config.input_shape}"),
        ("classes", ", ".join(config.class_names)),
        ("base classifier", f"{config.architecture}, {config.encoding} encoding"),
        ("design", f"{config.design.name}: {config.design}"),
        ("recipe", f"{recipe.name}{aim}, {recipe.epochs} epochs{after}, seed {config.seed}"),
        ("training", state),
        ("tallies", ", ".join(parts) or "none"),
        *([("shards", ", ".join(shards))] if shards else []),
        ("record", _certified(run)),
        ("attacks", ", ".join(path.stem for path in attacks) or "none"),
        ("report", str(run.report_path) if run.report_path.exists() else "none"),
        ("next", _next_command(run)),
    ]


def _certified(run: RunFolder) -> str:
    """The latest result in a line."""
    if not run.record_path.exists():
        return "none"
    record = read_record(run)
    return (
        f"{record['rule']} on {record['num_images']} images of {record['dataset']}: accuracy "
        f"{record['accuracy']:.1%}, median {median(record['median_certified_robustness'])}"
    )


def _next_command(run: RunFolder) -> str:
    """What there is to do with the run."""
    if not run.is_trained:
        return run.config.train_command(run.path).split(" && ")[-1]
    if not run.record_path.exists():
        if run.shards_path.exists():
            return f"sparsecert merge {run.shards_path}/* --into {run.path}"
        return f"sparsecert certify {run.path}"
    return f"sparsecert {'attack' if run.report_path.exists() else 'report'} {run.path}"


def terminal_table(title: str, rows: list[tuple[str, str]]) -> Table:
    """Rows as a table for the terminal."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
