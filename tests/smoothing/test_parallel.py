"""Passes side by side give the votes of passes one by one."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.devices import alike_devices
from sparsecert.smoothing.parallel import replicas, run_parallel
from sparsecert.streams import Stage
from tests.helpers.classifiers import images
from tests.helpers.commands import printed_by
from tests.helpers.votes import assert_same_votes

D, K, CLASSES = 16, 5, 3
CPU = torch.device("cpu")


class Remembering(nn.Module):
    """Keeps its input for its second half, as some networks do: lanes must not share it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * D, CLASSES)
        self.kept: Tensor | None = None

    def forward(self, encoded: Tensor) -> Tensor:
        self.kept = encoded.flatten(1)
        time.sleep(0.001)
        logits: Tensor = self.linear(self.kept)
        return logits


def classifier(devices: list[str], limit: int | None = None) -> sc.SmoothedClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = Remembering()
    return sc.SmoothedClassifier(
        base, sc.UniformAblation(D, K), CLASSES, devices=devices, ballots_per_pass=limit
    )


@pytest.mark.parametrize("samples", [7, 100, 331])
@pytest.mark.parametrize("lanes", [2, 5])
def test_lanes_count_what_one_counts(lanes: int, samples: int) -> None:
    x = images(5)
    expected = classifier(["cpu"]).tally(x, samples, Stage.ESTIMATION, seed=3)
    tally = classifier(["cpu"] * lanes, limit=20).tally(x, samples, Stage.ESTIMATION, seed=3)
    assert_same_votes(tally, expected)


def test_every_lane_votes_with_the_weights_of_the_moment() -> None:
    smoothed = classifier(["cpu"] * 3, limit=20)
    before = smoothed.tally(images(5), 200, Stage.ESTIMATION, seed=0).first_choice
    with torch.no_grad():
        smoothed.base.get_parameter("linear.bias").copy_(torch.tensor([0.0, 0.0, 100.0]))
    after = smoothed.tally(images(5), 200, Stage.ESTIMATION, seed=0).first_choice
    assert (before[:, 2] < 200).all()
    assert after[:, 2].tolist() == [200] * 5


def test_replicas_share_weights_at_home_and_nothing_else() -> None:
    base = Remembering()
    one, two = replicas(base, CPU, [CPU, CPU])
    assert one is base
    assert isinstance(two, Remembering)
    assert two is not base
    assert two.linear.weight is base.linear.weight
    base.kept = torch.zeros(1)
    assert two.kept is None


def test_a_network_that_cannot_be_copied_votes_alone_with_a_warning() -> None:
    smoothed = classifier(["cpu"] * 2, limit=20)
    expected = smoothed.tally(images(5), 100, Stage.ESTIMATION, seed=0).first_choice
    smoothed.base.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="cannot be copied, so its passes run one by one"):
        counts = smoothed.tally(images(5), 100, Stage.ESTIMATION, seed=0).first_choice
    np.testing.assert_array_equal(counts, expected)


def test_training_mode_comes_back_after_voting() -> None:
    smoothed = classifier(["cpu"] * 2)
    smoothed.base.train()
    smoothed.tally(images(5), 100, Stage.ESTIMATION, seed=0)
    assert smoothed.base.training


def test_the_first_error_ends_all_workers_and_threads_are_as_before() -> None:
    threads, taken = torch.get_num_threads(), []

    def passes() -> Iterator[int]:
        for number in range(1_000):
            taken.append(number)
            yield number

    def works(mine: Iterator[int]) -> int:
        done = 0
        for _ in mine:
            time.sleep(0.002)
            done += 1
        return done

    def fails(mine: Iterator[int]) -> int:
        next(mine)
        raise ValueError("a broken lane")

    with pytest.raises(ValueError, match="a broken lane"):
        run_parallel(passes(), [works, fails])
    assert len(taken) < 500
    assert torch.get_num_threads() == threads


def test_an_error_while_passes_are_made_is_raised() -> None:
    def passes() -> Iterator[int]:
        yield 1
        raise ValueError("no more ablations")

    with pytest.raises(ValueError, match="no more ablations"):
        run_parallel(passes(), [list, list])


def test_each_pass_is_taken_once_and_computed_by_its_share_of_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        seen: list[int] = []

        def work(mine: Iterator[int]) -> list[int]:
            seen.append(torch.get_num_threads())
            return list(mine)

        results = run_parallel(range(100), [work, work])
        assert sorted(results[0] + results[1]) == list(range(100))
        assert seen == [2, 2]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("devices", "words"),
    [([], "a list of devices"), ("cpu", "a list of devices"), (["abacus"], "that torch has")],
)
@pytest.mark.usefixtures("unchecked")
def test_devices_that_are_not_there_get_a_sentence(devices: list[str], words: str) -> None:
    with pytest.raises(sc.InputError, match=words):
        classifier(devices)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_compiled_lanes_count_what_one_counts() -> None:
    x = images(2)
    expected = classifier(["cpu"]).tally(x, 200, Stage.ESTIMATION, seed=0)
    base = nn.Sequential(nn.Flatten(), classifier(["cpu"]).base.get_submodule("linear"))
    compiled = sc.SmoothedClassifier(
        base,
        sc.UniformAblation(D, K),
        CLASSES,
        devices=["cpu", "cpu"],
        ballots_per_pass=50,
        compile=True,
    )
    counts = compiled.tally(x, 200, Stage.ESTIMATION, seed=0)
    np.testing.assert_array_equal(counts.first_choice, expected.first_choice)


MEMORY_SCRIPT = """
import resource, torch, sparsecert as sc
base = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 784, 10))
smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(784, 45), 10, devices=["cpu", "cpu"])
for num_samples in (2_000, 60_000):
    smoothed.tally(torch.rand(1, 1, 28, 28), num_samples, sc.Stage.ESTIMATION)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_number_of_ablations() -> None:
    few, many = map(int, printed_by("-c", MEMORY_SCRIPT).split())
    assert many - few < 16 * 2**20  # their masks alone would take 45 MiB, encoded 350 MiB


@pytest.mark.parametrize(("count", "devices"), [(0, None), (1, None), (2, ["cuda:0", "cuda:1"])])
def test_commands_use_all_cuda_devices_of_a_machine(
    monkeypatch: pytest.MonkeyPatch, count: int, devices: list[str] | None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert alike_devices() == devices
