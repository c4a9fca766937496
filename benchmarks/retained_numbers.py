"""For which k one network certifies most at a radius, by votes on training images.

    python benchmarks/retained_numbers.py RUN --radius 15 --retained 14,13,12,11 --results results

The network of a run classifies training images ablated with other numbers of retained pixels too.
An image counts as certified where the share of its ballots that rank the correct class above its
strongest rival is above one half by Delta(d, k, radius): an estimate without confidence, to choose
k by on images that nothing is reported on. Where ballots on training images are better than on test
images (`sparsecert base`), so are these shares.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from timing import conditions, finish

import sparsecert as sc
from sparsecert.data import evenly_spread, load
from sparsecert.evaluation import share
from sparsecert.procedures.procedure import base_classifier
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier

GROUP = 20


def main() -> None:
    """Vote with every k, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run with random ablation")
    parser.add_argument("--radius", type=int, required=True, help="to be certified")
    parser.add_argument("--retained", required=True, help="values of k, as in 14,13,12")
    parser.add_argument("--limit", type=int, default=400, help="training images, evenly spread")
    parser.add_argument("--num-samples", type=int, default=1_000, help="ballots for each")
    parser.add_argument("--results", type=Path, help="folder to write the record to")
    options = parser.parse_args()
    run = RunFolder.open(options.run)
    training, d = load(run.config.dataset, "train"), run.config.design.num_features
    images = evenly_spread(len(training), options.limit)
    labels, n = training.labels[images], options.num_samples
    found: dict[int, dict[str, Any]] = {}
    for k in map(int, options.retained.split(",")):
        smoothed = SmoothedClassifier(ablation=sc.UniformAblation(d, k), **base_classifier(run))
        right, lowest = [], []
        for start in range(0, len(images), GROUP):
            some = np.arange(start, min(start + GROUP, len(images)))
            tally = smoothed.tally(training.batch(images[some]), n, sc.Stage.ESTIMATION, 5, some)
            own = np.arange(len(some)), labels[some]
            right.append(tally.votes[own] / n)
            lowest.append(tally.min_pairwise_wins[own] / n)
        above = np.concatenate(lowest)
        threshold = 0.5 + sc.ablation_shift(d, k, options.radius)
        found[k] = {"ballots": round(float(np.concatenate(right).mean()), 4)}
        for name, sure in (("ahead", 0.5), ("certified", threshold)):
            value = share(above > sure)
            found[k][name] = round(value.value, 4)
            found[k][f"{name}_interval"] = [round(value.low, 4), round(value.high, 4)]
        print(k, found[k], flush=True)
    name = f"retained-{options.run.resolve().name}"
    record = {"benchmark": "retained numbers", "run": str(options.run), "radius": options.radius}
    record |= {"num_images": len(images), "num_samples": n, "by_retained": found}
    finish(name, record | conditions(1), options.results)


if __name__ == "__main__":
    main()
