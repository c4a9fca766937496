"""Sequential sampling against a fixed number of ballots, image by image, from the same streams.

    python benchmarks/sequential.py runs/mnist-k45 --limit 250 \\
        --record results/benchmark-sequential-mnist-k45.json

Votes of either plan that are in the run's tallies are read, and the others counted and stored, as
by `sparsecert certify`. A few images are then run both ways in turn, for the time.
"""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from sparsecert.evaluation import median_certified_robustness
from sparsecert.procedures.procedure import Measurement, RunImages
from sparsecert.procedures.run import certify_images, run_images
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.records.record import classifier_values, hardware, write_record
from sparsecert.rules import RULES
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier

app = App(help=__doc__)


@app.default
def main(
    run: Path,
    *,
    limit: Annotated[int, Parameter(help="Test images, evenly spread.")] = 250,
    timed: Annotated[int, Parameter(help="How many of them are run both ways.")] = 6,
    num_selection: int = 1_000,
    num_samples: int = 10_000,
    alpha: float = 0.05,
    seed: int = 0,
    record: Annotated[Path | None, Parameter(help="Write the result here, as JSON.")] = None,
) -> None:
    """Compare radii and ballots under every rule, and times on a few images."""
    folder = RunFolder.open(run)
    images, few = run_images(folder, limit=limit), run_images(folder, limit=timed)
    plan = SampledProcedure(num_selection, num_samples, seed=seed, alpha=alpha)
    smoothed = plan.classifier(folder)
    rules: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        fixed = replace(plan, rule=rule)
        before = certify_images(images, fixed)
        after = certify_images(images, replace(fixed, sampling="sequential"))
        rules[rule] = compare(before, after, fixed)
    for rule, values in rules.items():
        values.update(compare_times(smoothed, few, replace(plan, rule=rule)))
        print(rule, values)
    result = {
        "benchmark": "sequential",
        **classifier_values(folder.config),
        "num_images": limit,
        "num_selection": num_selection,
        "num_samples": num_samples,
        "alpha": alpha,
        "seed": seed,
        "rules": rules,
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
    }
    if record is not None:
        write_record(record, result)


def compare(fixed: Measurement, sequential: Measurement, plan: SampledProcedure) -> dict[str, Any]:
    """Radii and ballots of both ways of sampling, under one rule, on the same images."""
    right = fixed.certification.label == fixed.targets
    before, after = (
        np.where(right, measurement.certification.radius, -1) for measurement in (fixed, sequential)
    )
    ballots = sequential.certification.num_samples
    selection = plan.num_selection
    return {
        "ballot_ratio": _ratio(ballots.mean(), plan.num_samples),
        "ballot_ratio_interval": _interval(ballots / plan.num_samples),
        "ballot_ratio_with_selection": _ratio(
            ballots.mean() + selection, plan.num_samples + selection
        ),
        "budget_spent": int((ballots == plan.num_samples).sum()),
        "mean_radius_ratio": _ratio(after.mean(), before.mean()),
        "mean_radius": round(float(after.mean()), 4),
        "mean_radius_fixed": round(float(before.mean()), 4),
        "median_radius": median_certified_robustness(after, right),
        "median_radius_fixed": median_certified_robustness(before, right),
        "images_below": int((after < before).sum()),
        "images_above": int((after > before).sum()),
        "largest_loss": int((before - after).max()),
        "accuracy": sequential.evaluation.accuracy.value,
        "accuracy_fixed": fixed.evaluation.accuracy.value,
        "abstained": sequential.evaluation.abstained.value,
        "abstained_fixed": fixed.evaluation.abstained.value,
        "ablated_accuracy": round(sequential.evaluation.ablated_accuracy, 4),
        "ablated_accuracy_fixed": round(fixed.evaluation.ablated_accuracy, 4),
    }


def compare_times(
    smoothed: SmoothedClassifier, images: RunImages, plan: SampledProcedure
) -> dict[str, Any]:
    """Processor time of both ways, selection included, in turn on the same images, one by one."""
    taken = {"fixed": 0.0, "sequential": 0.0}
    ballots = dict.fromkeys(taken, 0)
    for index in images.indices:
        for sampling in taken:
            started = time.process_time()
            certificate = smoothed.certify(
                images.dataset.batch([index]),
                plan.num_selection,
                plan.num_samples,
                plan.alpha,
                plan.seed,
                plan.rule,
                sampling=sampling,
                indices=[index],
            )
            taken[sampling] += time.process_time() - started
            ballots[sampling] += int(certificate.num_samples[0]) + plan.num_selection
    number = len(images.indices)
    return {
        "timed_images": number,
        "processor_seconds_per_image": round(taken["sequential"] / number, 3),
        "processor_seconds_per_image_fixed": round(taken["fixed"] / number, 3),
        "time_ratio": _ratio(taken["sequential"], taken["fixed"]),
        "timed_ballot_ratio_with_selection": _ratio(ballots["sequential"], ballots["fixed"]),
    }


def _ratio(value: float, reference: float) -> float:
    return round(float(value / reference), 4)


def _interval(values: NDArray[np.float64]) -> list[float]:
    """A normal 95 % interval of a mean over images."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return [round(float(values.mean() + sign * half), 4) for sign in (-1, 1)]


if __name__ == "__main__":
    app()
