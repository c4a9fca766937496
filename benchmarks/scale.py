"""What ImageNet's 50 000 images would take on 1 to 1 000 workers: on paper, and by simulation.

    python benchmarks/scale.py [--run RUN] [--results results]

The cost of a ballot is that of the record `benchmark-imagenet-size`; the ballots that an image
needs are those of a run certified with `--sampling sequential` (RUN, or else of the record of this
script that is there), drawn with replacement; what a pool adds is of the record `benchmark-pool`.
Nothing of this was run on a thousand machines.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import pickle
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timing import Spread, conditions, finish

import sparsecert as sc
from sparsecert.data import Shard
from sparsecert.models.architectures import build
from sparsecert.procedures.execution import Finished
from sparsecert.procedures.run import recorded_images, recorded_procedure
from sparsecert.records.record import read_record
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.store import Stored, TallySettings, TallyStore

IMAGES, CLASSES, SELECTION, SAMPLES = 50_000, 1_000, 1_000, 10_000
WORKERS = (1, 8, 64, 1_000)
# Images that are counted together at 224 x 224 pixels: ten thousand ballots of a fixed number, four
# passes of 27 at a first look of 105 (`procedures/tallies.py`).
GROUP_OF_SELECTION, GROUP_OF_SEQUENTIAL, GROUP_OF_FIXED = 10, 2, 1
# A worker that is as fast as a thousand of these cores; assumed, to see what then breaks.
FAST = 1_000
UNEQUAL = 0.1  # spread of the machines' speeds in the last column, a standard deviation; assumed
ROUNDS = 5
RESULTS = Path(__file__).parent.parent / "results"

Costs = NDArray[np.float64]


def samples_of(path: Path) -> dict[str, Any]:
    """Ballots that estimated, image by image, in a run's latest certification, and its command."""
    run = RunFolder.open(path)
    record = read_record(run)
    assert record["sampling"] == "sequential", f"expected a sequential certification in {path}"
    measured = recorded_procedure(run.config.design, record).measure(recorded_images(run, record))
    numbers = measured.certification.num_samples.tolist()
    return {"samples_by": record["command"], "samples_per_image": numbers}


def static(costs: Costs, speeds: Costs, start: float) -> float:
    """Seconds until the last shard is done."""
    shares = np.array([costs[rows].sum() for rows in shards(len(speeds))])
    return float((start + shares / speeds).max())


@cache
def shards(count: int) -> list[NDArray[np.int64]]:
    """The images of each shard."""
    return [Shard(number + 1, count).rows(IMAGES) for number in range(count)]


def pooled(stages: list[tuple[Costs, int]], speeds: Costs, start: float, handing: float) -> float:
    """Seconds until the last image is done; a stage begins when the one before it has ended.

    Args:
        stages: the cost of each image, and how many are given out together.
        speeds: of the workers.
        start: seconds until a worker is ready.
        handing: seconds for which the driver is busy with each group.
    """
    now = start
    for costs, group in stages:
        free = [(now, speed) for speed in speeds]
        heapq.heapify(free)
        place, driver, end = 0, now, now
        while place < len(costs):
            ready, speed = heapq.heappop(free)
            driver = max(driver, ready) + handing
            size = min(group, math.ceil((len(costs) - place) / (2 * len(speeds))))
            done = driver + costs[place : place + size].sum() / speed
            place, end = place + size, max(end, done)
            heapq.heappush(free, (done, speed))
        now = end
    return now


def simulated(
    samples: NDArray[np.int64] | None, rate: float, start: float, handing: float
) -> dict[str, Any]:
    """Hours and efficiencies by number of workers; efficiency 1 is all workers busy throughout."""
    table: dict[str, Any] = {}
    for workers in WORKERS:
        found: dict[str, list[float]] = {}
        for seed in range(ROUNDS):
            generator = np.random.default_rng(seed)
            drawn = np.full(IMAGES, SAMPLES)
            if samples is not None:
                drawn = generator.choice(samples, IMAGES)
            selection, estimation = np.full(IMAGES, SELECTION / rate), drawn / rate
            group = GROUP_OF_FIXED if samples is None else GROUP_OF_SEQUENTIAL
            stages = [(selection, GROUP_OF_SELECTION), (estimation, group)]
            total = float((selection + estimation).sum())
            alike = np.ones(workers)
            unequal = np.maximum(0.5, generator.normal(1, UNEQUAL, workers))
            for name, speeds in (("", alike), ("_unequal_machines", unequal)):
                split = static(selection + estimation, speeds, start)
                pool = pooled(stages, speeds, start, handing)
                for place, seconds in (("shards", split), ("pool", pool)):
                    found.setdefault(f"{place}_efficiency{name}", []).append(
                        total / (speeds.sum() * seconds)
                    )
                    found.setdefault(f"{place}_hours{name}", []).append(seconds / 3_600)
        table[str(workers)] = {name: Spread.of(values) for name, values in found.items()}
    return table


def bytes_per_image() -> dict[str, dict[str, float]]:
    """What an image's votes take on the way to the driver, in memory and on disk, by sampling."""
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, CLASSES))
    smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(16, 2), CLASSES)
    images = np.arange(2)
    x = torch.rand(len(images), 1, 4, 4)
    sizes = {}
    for sampling in ("fixed", "sequential"):
        tally = smoothed.tally(x, SAMPLES, sc.Stage.ESTIMATION, 0, sampling=sampling)
        finished = Finished(images, np.ones(len(images)), tally, "simulated")
        settings = TallySettings("model", "data", 0, "estimation", SAMPLES, tally.looks)
        with tempfile.TemporaryDirectory() as folder:
            store = TallyStore(Path(folder), CLASSES)
            store.append(settings, [Stored(images, finished.seconds, tally)])
            (part,) = Path(folder).iterdir()
            stored = part.stat().st_size
        arrays = [array for array in tally.counts if array is not None]
        sizes[sampling] = {
            "moved": len(pickle.dumps(finished)) / len(images),
            "in_memory": sum(array.nbytes for array in arrays) / len(images),
            "stored": stored / len(images),
        }
    return sizes


def main() -> None:
    """Simulate, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="run folder that was certified sequentially")
    parser.add_argument("--results", type=Path, help="folder to write the record to")
    options = parser.parse_args()
    read = {
        name: json.loads((RESULTS / f"benchmark-{name}.json").read_text())
        for name in ("imagenet-size", "pool")
    }
    if options.run is not None:
        known = samples_of(options.run)
    else:
        known = json.loads((RESULTS / "benchmark-scale.json").read_text())
    samples = known["samples_per_image"]
    # Two cores counted side by side; a worker of a pool or a shard has one.
    rate = read["imagenet-size"]["ballots_per_second_bfloat16"][0] / 2
    start = read["pool"]["seconds_until_first_worker"]
    handing = 1 / read["pool"]["groups_handed_out_per_second"]
    record: dict[str, Any] = {"benchmark": "scale", "num_images": IMAGES} | conditions(ROUNDS)
    record["ballots_per_second_of_a_worker"] = round(rate, 3)
    record["mean_samples"] = round(float(np.mean(samples)), 1)
    for name, speed in (("measured_cores", rate), ("fast_workers", rate * FAST)):
        record[name] = {
            "fixed": simulated(None, speed, start, handing),
            "sequential": simulated(np.array(samples), speed, start, handing),
        }
    record["bytes_per_image"] = bytes_per_image()
    with torch.device("meta"):
        network = build("resnet50", (6, 224, 224), CLASSES)
    record["bytes_of_network"] = sum(array.nbytes for array in network.state_dict().values())
    record |= {name: known[name] for name in ("samples_by", "samples_per_image")}
    finish("scale", record, options.results)


if __name__ == "__main__":
    main()
