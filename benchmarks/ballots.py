"""Which base classifier gives the most for a ballot: accuracy on ablated MNIST by cost.

    python benchmarks/ballots.py [--results results] [--seconds 300] [--teacher runs/mnist-k45]

Every network trains for the same time on one core, by the `fast` recipe, and is then asked
about 20 000 ablated test images. Cost is counted in multiply-adds (of products, not of sums over
the rows of a table) and measured in computing time per ballot. With a teacher, a small network is
also trained to give the teacher's probabilities.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from base_classifiers import RetainedMLP, SetTransformer
from timing import conditions, finish
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import sparsecert as sc
from sparsecert import data
from sparsecert.devices import autocast
from sparsecert.evaluation import share
from sparsecert.models.architectures import build
from sparsecert.runs.folder import RunFolder
from sparsecert.training.recipes import recipe_for

SHAPE, CLASSES, K = (2, 28, 28), 10, 45
ENCODING, ABLATION = sc.TwoChannelEncoding(), sc.UniformAblation(784, K)
NUM_TESTED, PASS = 20_000, 250


@dataclass(frozen=True)
class Measured:
    """A trained network: how often it is right, and what a ballot costs."""

    accuracy: float
    interval: tuple[float, float]
    multiply_adds: int
    microseconds: float
    examples: int


def networks() -> dict[str, Callable[[], nn.Module]]:
    """What is compared, by name."""
    return {
        "interpolating-cnn": partial(build, "interpolating-cnn", SHAPE, CLASSES),
        "small-interpolating-cnn": partial(build, "small-interpolating-cnn", SHAPE, CLASSES),
        "paper-cnn": partial(build, "paper-cnn", SHAPE, CLASSES),
        "mlp": partial(build, "mlp", SHAPE, CLASSES),
        "perceptron on the retained pixels": partial(RetainedMLP, 784, K, CLASSES),
        "set transformer": partial(SetTransformer, 784, K, CLASSES),
    }


def ablated(
    dataset: data.Dataset, rows: np.ndarray[Any, Any], stage: sc.Stage, index: int
) -> tuple[Tensor, Tensor]:
    """Encoded inputs, each seen through a retained set of its own, and their labels."""
    mask = torch.from_numpy(ABLATION.draw(sc.samples(0, stage, index, len(rows))))
    return ENCODING(dataset.batch(rows), mask), torch.from_numpy(dataset.labels[rows])


def train(
    network: nn.Module, dataset: data.Dataset, seconds: float, teacher: nn.Module | None
) -> int:
    """Train for so much computing time, that of the teacher not counted; returns examples seen."""
    recipe, generator = recipe_for("fast", (1, 28, 28)), np.random.default_rng(0)
    optimizer = recipe.build_optimizer(network)
    cpu = torch.device("cpu")
    examples, spent = 0, 0.0
    network.train()
    while spent < seconds:
        rows = generator.integers(len(dataset), size=recipe.batch_size)
        encoded, labels = ablated(dataset, rows, sc.Stage.TRAINING_MASKS, examples)
        target = labels
        if teacher is not None:
            with torch.inference_mode(), autocast(recipe.precision, cpu):
                target = teacher(encoded).float().softmax(dim=1)
            target = target.clone()
        started = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(int(1e6 * spent / seconds), 10**6)
        with autocast(recipe.precision, cpu):
            logits = network(encoded)
        loss = functional.cross_entropy(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        spent += time.process_time() - started
        examples += len(labels)
    return examples


def measure(network: nn.Module, dataset: data.Dataset, examples: int) -> Measured:
    """Accuracy and cost on ablated test images."""
    network.eval()
    rows = np.random.default_rng(1).integers(len(dataset), size=NUM_TESTED)
    right, spent = [], 0.0
    with torch.inference_mode():
        with FlopCounterMode(display=False) as flops:
            network(ablated(dataset, rows[:1], sc.Stage.EVALUATION, 0)[0])
        for start in range(0, NUM_TESTED, PASS):
            some = rows[start : start + PASS]
            encoded, labels = ablated(dataset, some, sc.Stage.EVALUATION, start)
            started = time.process_time()
            with autocast("bfloat16", torch.device("cpu")):
                logits = network(encoded)
            spent += time.process_time() - started
            right.append((logits.argmax(dim=1) == labels).numpy())
    accuracy = share(np.concatenate(right))
    return Measured(
        round(accuracy.value, 4),
        (round(accuracy.low, 4), round(accuracy.high, 4)),
        flops.get_total_flops() // 2,
        round(1e6 * spent / NUM_TESTED, 1),
        examples,
    )


def main() -> None:
    """Train, measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, help="folder to write the record to")
    parser.add_argument("--seconds", type=float, default=300, help="of training, for each network")
    parser.add_argument("--teacher", type=Path, help="run folder of a network to learn from")
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads that wait for one another would count as computing
    torch.backends.mha.set_fastpath_enabled(False)  # whose multiply-adds would not be counted
    training, test = data.load("mnist", "train"), data.load("mnist", "test")
    found = {}
    plans: list[tuple[str, Callable[[], nn.Module], nn.Module | None]] = [
        (name, make, None) for name, make in networks().items()
    ]
    if options.teacher is not None:
        name = "small-interpolating-cnn"
        teacher = RunFolder.open(options.teacher).load_model()
        plans.append((f"{name}, taught", networks()[name], teacher))
    for name, make, taught_by in plans:
        torch.manual_seed(0)
        network = make()
        examples = train(network, training, options.seconds, taught_by)
        found[name] = vars(measure(network, test, examples))
        print(name, found[name], flush=True)
    record = {"benchmark": "ballots", "num_features": 784, "num_retained": K}
    record |= {"num_tested": NUM_TESTED, "training_seconds": options.seconds, "networks": found}
    finish("ballots-mnist-k45", record | conditions(1), options.results)


if __name__ == "__main__":
    main()
