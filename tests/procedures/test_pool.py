"""Work on a Ray cluster ends as in this process, whoever dies on the way."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from sparsecert.attacks.plan import plan_for
from sparsecert.attacks.run import attack_run
from sparsecert.errors import InputError, RunFolderError
from sparsecert.procedures.execution import Finished, LocalExecution, Task, Work
from sparsecert.procedures.pool import RayExecution
from sparsecert.procedures.run import procedure_for
from sparsecert.records.run import certify_run
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import Fails, comparable, parts, run
from tests.helpers.internals import STORE_AT_ONCE

COUNT = ["--num-selection", 40, "--num-samples", 4_000, "--limit", 60]
MOMENTS = 10


class Elsewhere(LocalExecution):
    """An execution that gets its tasks as another process would."""

    def _each(self, task: Task[Any], images: NDArray[np.int64]) -> Iterator[Finished[Any]]:
        yield from super()._each(pickle.loads(pickle.dumps(task)), images)


@pytest.mark.parametrize("sampling", ["fixed", "sequential", None])
def test_tasks_can_be_sent(sampling: str | None, request: pytest.FixtureRequest) -> None:
    folder = RunFolder(request.getfixturevalue("folder" if sampling else "family_folder"))
    given = {"num_samples": 300, "num_selection": 30, "sampling": sampling} if sampling else {}
    procedure = procedure_for(folder.config.design, **given)
    assert certify_run(folder, procedure, 12, execution=Elsewhere())[1]["num_images"] == 12
    there = comparable(folder.path)
    shutil.rmtree(folder.tallies_path)
    certify_run(folder, procedure, 12)
    assert comparable(folder.path) == there


def test_attacks_can_be_sent(folder: Path) -> None:
    opened = RunFolder(folder)
    plan = plan_for(opened.config.design, "greedy", num_samples=100, num_search=50, num_gradient=8)
    there = attack_run(opened, plan, 3, execution=Elsewhere())
    shutil.rmtree(opened.attacks_path)
    here = attack_run(opened, plan, 3)
    assert {**here, "seconds": 0} == {**there, "seconds": 0}


class Cluster:
    """A head without cores, and machines with one core each; all of them processes of this one."""

    def __init__(self, machines: int) -> None:
        from ray.cluster_utils import Cluster

        # So that the death of a machine is noticed in a second and not in a quarter of a minute.
        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "_system_config": soon, "include_dashboard": False},
        )
        self._machines: list[Any] = []
        self.at_least(machines)
        self.address = self._cluster.address

    def at_least(self, machines: int) -> None:
        """Add machines until there are so many."""
        while len(self._machines) < machines:
            self._machines.append(self._cluster.add_node(num_cpus=1))

    def kill_machine(self) -> None:
        """One that has been there longest."""
        self._cluster.remove_node(self._machines.pop(0), allow_graceful=False)

    def kill_worker(self) -> None:
        """Any that has been given something."""
        workers = list[psutil.Process]()
        while not workers:
            for process in psutil.Process().children(recursive=True):
                try:
                    if process.cmdline()[:1] and "ray::Worker" in process.cmdline()[0]:
                        workers.append(process)
                except psutil.Error:  # it has just gone
                    continue
        random.choice(workers).kill()

    def shutdown(self) -> None:
        """End all of it."""
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        made = Cluster(2)
    yield made
    made.shutdown()


def begin(folder: Path, cluster: Cluster) -> subprocess.Popen[str]:
    """Certify on the cluster, in a process of its own that stores what comes at once."""
    script = f"{STORE_AT_ONCE}\nfrom sparsecert.cli import main; main()"
    words = ["certify", folder, *COUNT, "--ray", cluster.address]
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(driver: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not ready():
        if driver.poll() is not None:
            pytest.fail(f"it ended before it was ready: {driver.communicate()[1]}")
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ends_well(driver: subprocess.Popen[str]) -> None:
    _, error = driver.communicate(timeout=250)
    assert driver.returncode == 0, error


@pytest.fixture(scope="module")
def counted_here(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of the run that counts in this process."""
    folder = shutil.copytree(digits_run, tmp_path_factory.mktemp("here") / "run")
    run("certify", folder, *COUNT)
    return comparable(folder)


def test_whoever_dies_the_record_is_the_same(
    folder: Path, cluster: Cluster, counted_here: dict[str, Any]
) -> None:
    cluster.at_least(2)
    driver = begin(folder, cluster)
    wait_for(driver, lambda: len(parts(folder, "estimation*")) >= 1)
    cluster.kill_worker()
    wait_for(driver, lambda: len(parts(folder, "estimation*")) >= 4)
    cluster.kill_machine()
    wait_for(driver, lambda: len(parts(folder, "estimation*")) >= 8)
    driver.kill()
    driver.communicate()
    stored = set(parts(folder))
    driver = begin(folder, cluster)
    wait_for(driver, lambda: len(parts(folder, "estimation*")) >= 10)
    assert set(parts(folder, "estimation*")) > stored - set(parts(folder, "selection*"))
    ends_well(driver)
    assert comparable(folder) == counted_here
    assert len(parts(folder)) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("victim", ["worker", "machine", "driver"])
def test_deaths_at_random_moments(
    victim: str, moment: int, folder: Path, cluster: Cluster, counted_here: dict[str, Any]
) -> None:
    """From the first vote of the selection to the last of the estimation."""
    generator = random.Random(f"{victim} {moment}")
    cluster.at_least(2)
    driver = begin(folder, cluster)
    pieces = generator.randrange(1, 24)
    wait_for(driver, lambda: len(parts(folder)) >= pieces)
    time.sleep(generator.uniform(0, 0.1))
    if victim == "driver":
        driver.kill()
        driver.communicate()
        driver = begin(folder, cluster)
    elif victim == "machine":
        cluster.kill_machine()
    else:
        cluster.kill_worker()
    ends_well(driver)
    assert comparable(folder) == counted_here
    assert len(parts(folder)) == 2


@pytest.mark.slow
def test_a_stopped_command_stores_what_is_finished(folder: Path, cluster: Cluster) -> None:
    words = ["certify", folder, "--num-selection", 40, "--num-samples", 40_000, "--limit", 60]
    command = [sys.executable, "-m", "sparsecert", *map(str, words), "--ray", cluster.address]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(driver, lambda: len(parts(folder, "selection*")) == 1)
    time.sleep(4)
    driver.terminate()
    _, error = driver.communicate(timeout=100)
    assert driver.returncode == 143
    assert "stopped; repeat the command to go on" in error
    assert len(parts(folder, "estimation*")) >= 1


def load(compile: bool) -> int:
    return 1


def refuse(compile: bool) -> int:
    raise RunFolderError("the folder is not there")


def one(network: int) -> int:
    return 1


def die_of_the_third(network: int, images: NDArray[np.int64]) -> int:
    if images[0] == 3:
        os._exit(1)
    return int(images[0])


@pytest.mark.slow
def test_what_kills_every_worker_ends_in_a_sentence(cluster: Cluster) -> None:
    """And what a worker says in one comes here; what the others finished is stored."""
    import ray
    from ray import cloudpickle

    # These functions are in no module that a worker finds.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]
    images, stored = np.arange(6), list[Finished[int]]()
    place = RayExecution(cluster.address)

    def work(task: Task[int]) -> Work[int]:
        return Work("trying", len(images), images, task, stored.extend)

    try:
        with pytest.raises(RunFolderError, match="worker on the Ray cluster says: the folder is"):
            place.run(work(Task(refuse, one, die_of_the_third)))
        with pytest.raises(InputError, match="5 workers have died at image 3"):
            place.run(work(Task(load, one, die_of_the_third)))
    finally:
        ray.shutdown()
    assert sorted(finished.result for finished in stored) == [0, 1, 2, 4, 5]


def test_without_ray_the_option_says_how_to_install_it(
    folder: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    fails('pip install "sparsecert[ray]"', "certify", folder, "--limit", 2, "--ray")
    fails("expected --ray with --ray-cores", "certify", folder, "--ray-cores", 2)
    fails("at least 1 core", "certify", folder, "--ray-cores", 0, "--ray")
