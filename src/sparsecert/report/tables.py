"""Results in words: the same rows for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from sparsecert.data import FeatureRange
from sparsecert.data.columns import shortened
from sparsecert.evaluation import Estimate
from sparsecert.procedures.procedure import Measurement
from sparsecert.records.record import read_record
from sparsecert.report.words import counted, inputs_of, one_of, share
from sparsecert.runs.folder import RunFolder


def percent(estimate: Estimate) -> str:
    """A share with its 95 % interval, in percent."""
    return f"{share(estimate.value)} [{share(estimate.low)}, {share(estimate.high)}]"


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
    measurement: Measurement, unit: str, sampling: str = "fixed", top: int = 1
) -> list[tuple[str, str]]:
    """Name and value of every quantity of an evaluation.

    Args:
        measurement: what was measured.
        unit: what the radius counts, "pixels" or "features".
        sampling: how ballots were sampled; their number is told where it is sequential.
        top: K.
    """
    evaluation, threat = measurement.evaluation, measurement.threat
    within = "" if top == 1 else f", top {top}"
    rows = [
        (inputs_of(unit), str(evaluation.num_images)),
        (f"classification accuracy{within}", percent(evaluation.accuracy)),
        ("abstained", percent(evaluation.abstained)),
        ("base classifier's accuracy on ablated inputs", share(evaluation.ablated_accuracy)),
    ]
    if threat.sizes:
        rows += [
            (f"certified accuracy, {threat.kind} {threat.name_of(level)}", percent(estimate))
            for level, estimate in enumerate(evaluation.certified_accuracy)
            if level
        ]
        return rows
    rows += [
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
        inputs = inputs_of(unit)
        rows.append((f"ballots per {one_of(inputs)} that estimate, mean", f"{mean:,.0f}"))
        words = f"{inputs} counted less far than this rule asks"
        rows.append((words, str(measurement.num_unfinished)))
    return rows


def magnitude_head(unit: str) -> str:
    """What a table calls a median attack magnitude, in pixels or features."""
    return f"median attack magnitude ({unit})"


def within_certificate(record: Mapping[str, Any], unit: str = "pixels") -> str:
    """Successes within a certified radius of an attack's record, with the number of attempts.

    A changed class and an abstention are told apart: only the first contradicts a certificate.

    Args:
        record: of the attack.
        unit: what a radius counts.
    """
    if record["successes_within_certificate"] is None:
        return "no certificates"
    attempts = counted(record["attempts_within_certificate"], inputs_of(unit))
    wrong = len(record["misclassified_within_certificate"])
    unsure = len(record["abstained_within_certificate"])
    if not wrong and not unsure:
        return f"0 of {attempts}"
    return f"{wrong} misclassified, {unsure} abstained on, of {attempts}"


def ballots(record: Mapping[str, Any]) -> str:
    """Ballots drawn and saved by an attack; nothing for classifiers that cast none."""
    counts = record["ballots"]
    needed = counts["needed_without_savings"]
    if not needed:
        return ""
    return (
        f"{counts['drawn']:,} of {needed:,} ({share(counts['drawn'] / needed, 1)}); "
        f"{share(counts['saved_by_cache'] / needed, 1)} known, "
        f"{share(counts['saved_by_early_answers'] / needed, 1)} not needed"
    )


def attack_rows(record: Mapping[str, Any], unit: str) -> list[tuple[str, str]]:
    """Name and value of what an attack's record reports.

    Args:
        record: the record.
        unit: what a magnitude counts, "pixels" or "features".
    """
    images, ends = record["num_images"], record["intervals"]
    inputs = inputs_of(unit)
    return [
        (inputs, str(images)),
        ("correct when unchanged", percent(Estimate(record["accuracy"], *ends["accuracy"]))),
        ("fooled by the attack", percent(Estimate(record["success"], *ends["success"]))),
        (
            magnitude_head(unit),
            magnitude(record["median_attack_magnitude"], ends["median_attack_magnitude"]),
        ),
        ("successes within a certified radius", within_certificate(record, unit)),
        (f"queries per {one_of(inputs)}", f"{record['queries'] / images:.0f}"),
        (f"seconds per {one_of(inputs)}", f"{record['seconds'] / images:.1f}"),
        ("ballots drawn", ballots(record)),
    ]


def certified_rows(measurement: Measurement) -> list[tuple[str, str]]:
    """Rho, or the size of the threat, and certified accuracy at it."""
    return [
        (measurement.threat.name_of(rho), percent(estimate))
        for rho, estimate in enumerate(measurement.evaluation.certified_accuracy)
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
    recipe_words = f"{recipe.name}{aim}, {recipe.epochs} epochs{after}, seed {config.seed}"
    if config.imported is not None:
        recipe_words = f"imported from {config.imported.path}, {recipe.epochs or 'unknown'} epochs"
    parts = sorted(path.name for path in run.tallies_path.glob("[!.]*.parquet"))
    attacks = sorted(run.attacks_path.glob("[!.]*.json"))
    shards = sorted(path.name for path in run.shards_path.glob("[!.]*"))
    return [
        ("data", f"{config.dataset}, inputs of shape {config.input_shape}"),
        ("classes", shortened(config.class_names)),
        *_features(config.feature_range),
        ("base classifier", f"{config.architecture}, {config.encoding} encoding"),
        ("design", f"{config.design.name}: {config.design}"),
        ("recipe", recipe_words),
        ("training", state),
        ("tallies", ", ".join(parts) or "none"),
        *([("shards", ", ".join(shards))] if shards else []),
        ("record", _certified(run)),
        ("attacks", ", ".join(path.stem for path in attacks) or "none"),
        ("report", str(run.report_path) if run.report_path.exists() else "none"),
        ("next", _next_command(run)),
    ]


def _features(ends: FeatureRange | None) -> list[tuple[str, str]]:
    """What a table's features are called."""
    names = None if ends is None else ends.names
    return [] if names is None else [("features", f"{len(names)}: {shortened(names)}")]


def _certified(run: RunFolder) -> str:
    """The latest result in a line."""
    if not run.record_path.exists():
        return "none"
    record = read_record(run)
    inputs = inputs_of(run.config.design.unit(run.config.input_shape))
    return (
        f"{record['rule']} on {record['num_images']} {inputs} of {record['dataset']}: accuracy "
        f"{share(record['accuracy'], 1)}, median {median(record['median_certified_robustness'])}"
    )


def _next_command(run: RunFolder) -> str:
    """What there is to do with the run."""
    if not run.is_trained:
        return run.config.train_command(run.path).split(" && ")[-1]
    if run.hub_name is not None or not run.record_path.exists():
        if run.hub_name is None and run.shards_path.exists():
            return f"sparsecert merge {run.shards_path}/* --into {run.path}"
        return f"sparsecert certify {run.hub_name or run.path}"
    return f"sparsecert {'attack' if run.report_path.exists() else 'report'} {run.path}"


def terminal_table(title: str, rows: list[tuple[str, str]]) -> Table:
    """Rows as a table for the terminal."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
