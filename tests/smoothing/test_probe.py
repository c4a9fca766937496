"""Base classifiers whose ballots depend on one another are found out, and no others are accused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import sparsecert as sc
from sparsecert.models.architectures import ARCHITECTURES, build
from sparsecert.streams import Stage
from tests.helpers.classifiers import images, perceptron

ABLATION, CLASSES = sc.UniformAblation(16, 5), 3
Change = Callable[[Tensor], Tensor]


class Between(nn.Module):
    """A perceptron that does something to its hidden layer."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.layers, self.change = perceptron(), change

    def forward(self, encoded: Tensor) -> Tensor:
        hidden = self.layers[1](self.layers[0](encoded))
        logits: Tensor = self.layers[3](self.change(torch.tanh(hidden)))
        return logits


def normalised_by_script() -> nn.Module:
    norm = nn.BatchNorm1d(24, track_running_stats=False)
    return torch.jit.script(nn.Sequential(*list(perceptron())[:2], norm, nn.Linear(24, CLASSES)))


def normalised_by_trace() -> nn.Module:
    base = nn.Sequential(*list(perceptron())[:2], nn.BatchNorm1d(24), nn.Linear(24, CLASSES))
    example = torch.rand(8, 2, 4, 4)
    traced: nn.Module = torch.jit.trace(base.train(), example, check_trace=False)  # type: ignore[no-untyped-call]
    return traced


def normalised_by_function(hidden: Tensor) -> Tensor:
    return functional.batch_norm(hidden, None, None, training=True)


def attention(hidden: Tensor) -> Tensor:
    """Over the ballots, as where `batch_first` was forgotten."""
    return functional.scaled_dot_product_attention(4 * hidden, hidden, hidden)


def in_its_place(hidden: Tensor) -> Tensor:
    return hidden + torch.arange(len(hidden))[:, None] / 8


DEPENDENT: dict[str, Callable[[], nn.Module]] = {
    "scripted": normalised_by_script,
    "traced": normalised_by_trace,
    "functional": lambda: Between(normalised_by_function),
    "mean": lambda: Between(lambda hidden: hidden - hidden.mean(dim=0)),
    "attention": lambda: Between(attention),
    "place": lambda: Between(in_its_place),
}


class Counter:
    """Adds how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, hidden: Tensor) -> Tensor:
        self.calls += 1
        return hidden + self.calls / 10


RANDOM: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: Between(lambda hidden: functional.dropout(hidden, 0.2)),
    "noise": lambda: Between(lambda hidden: hidden + torch.rand_like(hidden) / 4),
    "memory": lambda: Between(Counter()),
}


def refuses(base: nn.Module, sentence: str, precision: str = "float32") -> None:
    smoothed = sc.SmoothedClassifier(base, ABLATION, CLASSES, precision=precision)
    for count in (
        lambda: smoothed.certify(images(), 10, 200),
        lambda: smoothed.predict(images(1), 200, sampling="sequential"),
        lambda: smoothed.tally(images(), 200, Stage.ESTIMATION),
    ):
        with pytest.raises(sc.InputError, match=sentence):
            count()
    family = sc.FixedSmoothedClassifier(
        base, sc.strided_partition(16, 4), CLASSES, precision=precision
    )
    with pytest.raises(sc.InputError, match=sentence):
        family.certify(images())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", DEPENDENT)
def test_ballots_that_depend_on_their_pass_are_refused(kind: str, precision: str) -> None:
    refuses(DEPENDENT[kind](), r"other ballots of the pass \(by \d+% .* no certificate", precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", RANDOM)
def test_ballots_that_depend_on_chance_are_refused(kind: str, precision: str) -> None:
    refuses(RANDOM[kind](), r"the second time \(by \d+% .* no certificate holds", precision)


def as_after_training(base: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Running statistics are those of some inputs, and the logits large."""
    base.train()
    with torch.no_grad():
        for _ in range(8):
            base(torch.rand(8, *shape))
        for parameter in list(base.parameters())[-2:]:
            parameter.mul_(30)
    return base


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_network_of_ours_is_accused(name: str, precision: str, trained: bool) -> None:
    colour = "resnet" in name
    shape = (3, 16, 16) if colour else (1, 28, 28)  # small: some processors imitate bfloat16
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoded = (2 * shape[0], *shape[1:])
        base = build(name, encoded, 10)
        if trained:
            base = as_after_training(base, encoded)
    d = math.prod(shape[1:])
    smoothed = sc.SmoothedClassifier(base, sc.UniformAblation(d, d // 16), 10, precision=precision)
    smoothed.tally(images(1, shape=shape), 2, Stage.ESTIMATION)
    family = sc.FixedSmoothedClassifier(base, sc.strided_partition(d, 4), 10, precision=precision)
    family.certify(images(1, shape=shape))


def test_trained_networks_are_not_accused(digits_run: Path, family_run: Path) -> None:
    for run in (digits_run, family_run):
        for image in (torch.zeros(1, 1, 8, 8), images(3, shape=(1, 8, 8))):
            sc.load(run).certify(image)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_small_passes_and_missing_or_ruled_out_values_are_no_reason(limit: int) -> None:
    def ruled_out(logits: Tensor) -> Tensor:
        return logits.index_fill(1, torch.tensor(2), -math.inf)

    class RuledOut(nn.Sequential):
        def forward(self, encoded: Tensor) -> Tensor:
            return ruled_out(super().forward(encoded))  # type: ignore[no-untyped-call]

    base = RuledOut(*perceptron())
    smoothed = sc.SmoothedClassifier(base, ABLATION, CLASSES, ballots_per_pass=limit)
    x = images().flatten(1)
    x[:, :9] = float("nan")
    smoothed.tally(x, 10, Stage.ESTIMATION)
    smoothed.tally(torch.full((1, 16), float("nan")), 10, Stage.ESTIMATION)


def test_a_classifier_is_tried_once_and_votes_do_not_change_by_it() -> None:
    seen: list[int] = []
    base = perceptron()
    base.register_forward_hook(lambda *call: seen.append(len(call[1][0])))
    smoothed = sc.SmoothedClassifier(base, ABLATION, CLASSES, devices=["cpu"])
    first = smoothed.tally(images(), 100, Stage.ESTIMATION, seed=1)
    assert seen[:4] == [8, 8, 8, 1]
    tried = len(seen)
    second = smoothed.tally(images(), 100, Stage.ESTIMATION, seed=1)
    assert len(seen) == tried + (tried - 4)
    assert (first.first_choice == second.first_choice).all()
