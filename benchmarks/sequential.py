"""Sequential sampling against a fixed number of ballots, image by image, on the same ballots.

    python benchmarks/sequential.py runs/mnist-k45 --limit 200 \\
        --record results/benchmark-sequential-mnist-k45.json

Every image is counted up to the budget, with the counts at each look kept. The fixed plan reads the
last look; the sequential one is replayed from the first to where it stops, which gives the very
ballots that it would have counted. A few images are also run both ways, for the time.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from sparsecert.certification import certify_tally, predict_tally, select_label
from sparsecert.counting import smoothed_classifier
from sparsecert.data import evenly_spread
from sparsecert.look_tally import LookTally
from sparsecert.records import BENCHMARK, classifier_values, hardware, write_record
from sparsecert.runs import RunFolder
from sparsecert.sequential_certification import (
    certified_by_look,
    certify_looks,
    named_by_look,
    predict_looks,
    stop,
)
from sparsecert.sequential_smoothing import tally_looks
from sparsecert.smoothing import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.tally import Tally
from sparsecert.theory import RULES
from sparsecert.workflow import load_evaluation_data

_GROUP = 10  # images counted side by side
app = App(help=__doc__)


@dataclass(frozen=True)
class Counted:
    """Votes of all images, up to the budget."""

    indices: NDArray[np.int64]
    targets: NDArray[np.int64]
    selection: Tally
    estimation: LookTally


@app.default
def main(
    run: Path,
    *,
    limit: Annotated[int, Parameter(help="Test images, evenly spread.")] = 200,
    timed: Annotated[int, Parameter(help="How many of them are run both ways.")] = 10,
    num_selection: int = 1_000,
    num_samples: int = 10_000,
    alpha: float = 0.05,
    seed: int = 0,
    record: Annotated[Path | None, Parameter(help="Write the result here, as JSON.")] = None,
) -> None:
    """Compare radii and ballots under every rule, and times on a few images."""
    folder = RunFolder.open(run)
    config, dataset = folder.read_config(), load_evaluation_data(folder)
    smoothed = smoothed_classifier(folder)
    indices = evenly_spread(len(dataset), limit)
    parts = []
    started = time.perf_counter()
    for start in range(0, len(indices), _GROUP):
        rows = indices[start : start + _GROUP]
        x = dataset.batch(rows)
        parts.append(
            (
                smoothed.tally(x, num_selection, Stage.SELECTION, seed, rows),
                tally_looks(smoothed, x, num_samples, Stage.ESTIMATION, None, seed, rows),
            )
        )
        print(f"{start + len(rows)} of {len(indices)} images", file=sys.stderr)
    seconds = time.perf_counter() - started
    counted = Counted(
        indices,
        dataset.labels[indices],
        _joined([part[0] for part in parts]),
        LookTally.concatenate([part[1] for part in parts]),
    )
    few = evenly_spread(len(indices), timed)
    result = {
        BENCHMARK: "sequential",
        **classifier_values(config),
        "num_images": len(indices),
        "num_selection": num_selection,
        "num_samples": num_samples,
        "alpha": alpha,
        "seed": seed,
        "looks": counted.estimation.looks.tolist(),
        "rules": {
            rule: {
                **compare(smoothed, counted, alpha, rule),
                **compare_times(
                    smoothed,
                    lambda row: dataset.batch(counted.indices[few[row : row + 1]]),
                    len(few),
                    num_selection,
                    num_samples,
                    alpha,
                    rule,
                ),
            }
            for rule in RULES
        },
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
        "seconds": round(seconds, 1),
        "training_seconds": None,
    }
    for rule, values in result["rules"].items():
        print(rule, values)
    if record is not None:
        write_record(record, result)


def compare(
    smoothed: SmoothedClassifier, counted: Counted, alpha: float, rule: str
) -> dict[str, Any]:
    """Radii and ballots of both plans, under one rule."""
    looks, design = counted.estimation, smoothed.ablation
    whole = looks.at(np.full(len(looks), len(looks.looks) - 1))
    label = select_label(counted.selection, rule)
    fixed = certify_tally(whole, label, design, alpha, rule)
    sequential = certify_looks(looks, label, design, alpha, rule)
    certified = certified_by_look(looks, label, design, alpha, rule)
    both = stop(looks, certified, named_by_look(looks, alpha, rule)).look
    predicted = predict_looks(looks, alpha, rule)
    right = label == counted.targets
    robust, fixed_robust = (
        np.where(right, certification.radius, -1) for certification in (sequential, fixed)
    )
    difference = robust - fixed_robust
    fixed_label = predict_tally(whole, alpha, rule).label
    return {
        "ballot_ratio": _ratio(sequential.num_samples.mean(), looks.budget),
        "ballot_ratio_interval": _interval(sequential.num_samples / looks.budget),
        "ballot_ratio_with_prediction": _ratio(looks.looks[both].mean(), looks.budget),
        "total_ballot_ratio": _ratio(
            sequential.num_samples.mean() + counted.selection.num_samples.mean(),
            looks.budget + counted.selection.num_samples.mean(),
        ),
        "mean_radius": round(float(robust.mean()), 4),
        "mean_radius_fixed": round(float(fixed_robust.mean()), 4),
        "mean_radius_ratio": _ratio(robust.mean(), fixed_robust.mean()),
        "median_radius": float(np.median(robust)),
        "median_radius_fixed": float(np.median(fixed_robust)),
        "images_below": int((difference < 0).sum()),
        "images_above": int((difference > 0).sum()),
        "largest_loss": int(-difference.min()),
        "prediction_ballot_ratio": _ratio(predicted.num_samples.mean(), looks.budget),
        "accuracy": float((predicted.label == counted.targets).mean()),
        "accuracy_fixed": float((fixed_label == counted.targets).mean()),
        "abstained": float((predicted.label < 0).mean()),
        "abstained_fixed": float((fixed_label < 0).mean()),
    }


def compare_times(
    smoothed: SmoothedClassifier,
    image: Callable[[int], Any],
    count: int,
    num_selection: int,
    num_samples: int,
    alpha: float,
    rule: str,
) -> dict[str, Any]:
    """Wall time of both plans, selection included, in turn on the same images."""
    taken = {"fixed": 0.0, "sequential": 0.0}
    for row in range(count):
        for sampling in taken:
            started = time.perf_counter()
            smoothed.certify(
                image(row), num_selection, num_samples, alpha, rule=rule, sampling=sampling
            )
            taken[sampling] += time.perf_counter() - started
    if not count:
        return {}
    return {
        "timed_images": count,
        "seconds_per_image": round(taken["sequential"] / count, 3),
        "seconds_per_image_fixed": round(taken["fixed"] / count, 3),
        "time_ratio": _ratio(taken["sequential"], taken["fixed"]),
    }


def _joined(parts: list[Tally]) -> Tally:
    pairs = [part.head_to_head for part in parts if part.head_to_head is not None]
    return Tally(
        np.concatenate([part.first_choice for part in parts]),
        np.concatenate(pairs) if len(pairs) == len(parts) else None,
    )


def _ratio(value: float, reference: float) -> float:
    return round(float(value / reference), 4)


def _interval(values: NDArray[np.float64]) -> list[float]:
    """A normal 95 % interval of a mean over images."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return [round(float(values.mean() + sign * half), 4) for sign in (-1, 1)]


if __name__ == "__main__":
    app()
