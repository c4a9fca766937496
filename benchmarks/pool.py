"""Workers on a Ray cluster of this machine, against one of them, and against passes side by side.

    python benchmarks/pool.py [--rounds 5] [--results results]

MNIST's network, untrained, on random images: its speed depends on neither. Without OMP_NUM_THREADS,
so that in one process as many passes run side by side as there are cores, and each Ray worker has
one core. Processes are started, and the network loaded, before the clock is.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
import torch
from timing import Spread, arguments, conditions, finish, in_turn

from sparsecert import data
from sparsecert.designs.uniform import UniformAblation
from sparsecert.procedures.execution import Execution, Finished, LocalExecution, Task, Work
from sparsecert.procedures.pool import RayExecution
from sparsecert.procedures.run import run_images
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.runs.config import RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.training.recipes import recipe_for

K, IMAGES, BALLOTS, SMALL_GROUPS = 45, 20, 2_000, 2_000


class Pool(RayExecution):
    """So many workers, however large the cluster is."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._most = workers

    def _hire(self, cluster: Any, images: int) -> Any:
        return super()._hire(cluster, min(images, self._most))


@dataclass
class Counting:
    """Predict the same images again and again, with other ballots each time.

    Attributes:
        run: with votes of this place alone.
        place: where ballots are counted.
        computed: seconds for which all processes computed, call by call: other work on the machine
            makes them longer by little.
    """

    run: RunFolder
    place: Execution
    computed: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        """Count ballots that nobody has counted yet."""
        before = _computed()
        procedure = SampledProcedure(num_samples=BALLOTS, seed=len(self.computed))
        procedure.predict(run_images(self.run), self.place)
        self.computed.append(_computed() - before)

    def over(self, other: Counting, rounds: int) -> Spread:
        """How many times as long as at another place, in the last rounds."""
        pairs = zip(self.computed[-rounds:], other.computed[-rounds:], strict=True)
        return Spread.of([mine / theirs for mine, theirs in pairs])


def _computed() -> float:
    """Seconds for which this process and the workers have computed."""
    mine = psutil.Process()
    return sum(
        sum(process.cpu_times()[:2])
        for process in [mine, *mine.children(recursive=True)]
        if process == mine or _is_worker(process)
    )


def untrained(folder: Path) -> RunFolder:
    """A run of MNIST's network on random images."""
    path = folder / "noise.npz"
    x = np.random.default_rng(0).integers(256, size=(IMAGES, 28, 28), dtype=np.uint8)
    y = np.arange(IMAGES) % 10
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    train = data.load(str(path), "train")
    config = RunConfig(
        dataset=str(path),
        train_fingerprint=train.fingerprint(),
        input_shape=train.input_shape,
        class_names=train.class_names,
        feature_range=None,
        architecture="interpolating-cnn",
        design=UniformAblation(784, K),
        encoding="two-channel",
        encoding_mean=None,
        encoding_std=None,
        recipe=recipe_for("fast", train.input_shape),
        seed=0,
    )
    run = RunFolder.create(folder / "run", config)
    run.save_model(config.build_model())
    return run


def copy(run: RunFolder, name: str) -> RunFolder:
    """A folder of its own for each place, as they count the same ballots."""
    return run.copied_to(run.path.parent / name)


def nothing(compile: bool) -> int:
    return 0


def one(network: int) -> int:
    return 1


def echo(network: int, images: np.ndarray[Any, Any]) -> int:
    return 0


def handed_out(place: Execution) -> float:
    """How many groups a second this process hands out and takes back, where workers do nothing."""
    images, stored = np.arange(SMALL_GROUPS), list[Finished[int]]()
    work = Work("nothing", len(images), images, Task(nothing, one, echo), stored.extend)
    place.run(replace(work, missing=images[:4]))
    started = time.perf_counter()
    place.run(work)
    return SMALL_GROUPS / (time.perf_counter() - started)


def main() -> None:
    """Time the three in turn and report."""
    options = arguments(__doc__ or "")
    assert "OMP_NUM_THREADS" not in os.environ, "expected OMP_NUM_THREADS unset"
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    # A logical core more than two pools need, as the workers of one wait while the other counts.
    started = time.perf_counter()
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    record: dict[str, Any] = {
        "benchmark": "pool",
        "num_images": IMAGES,
        "ballots_per_image": BALLOTS,
    }
    record |= conditions(options.rounds) | {"ray": ray.__version__}
    record["seconds_to_start_cluster"] = round(time.perf_counter() - started, 2)
    with tempfile.TemporaryDirectory() as folder:
        run = untrained(Path(folder))
        places = {"one": Pool(1), "two": Pool(2), "side_by_side": LocalExecution()}
        actions = {name: Counting(copy(run, name), place) for name, place in places.items()}
        started = time.perf_counter()
        actions["one"]()
        first = time.perf_counter() - started
        times = in_turn(actions, options.rounds)
        record["seconds_until_first_worker"] = round(first - min(times["one"].wall), 2)
        record["two_workers_over_one"] = times["one"].over(times["two"])
        record["two_workers_over_side_by_side"] = times["side_by_side"].over(times["two"])
        record["computing_of_two_over_side_by_side"] = actions["two"].over(
            actions["side_by_side"], options.rounds
        )
        for name, taken in times.items():
            record[f"ballots_per_second_{name}"] = Spread.of(
                [IMAGES * BALLOTS / seconds for seconds in taken.wall]
            )
        record["groups_handed_out_per_second"] = round(handed_out(places["two"]))
    workers = [p for p in psutil.Process().children(recursive=True) if _is_worker(p)]
    record["resident_mib_of_a_worker"] = round(
        max(process.memory_info().rss for process in workers) / 2**20
    )
    record["side_by_side_threads"] = torch.get_num_threads()
    finish("pool", record, options.results)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return str(process.cmdline()[0]).startswith("ray::Worker")
    except (psutil.Error, IndexError):
        return False


if __name__ == "__main__":
    main()
