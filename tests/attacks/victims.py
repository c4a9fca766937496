"""Classifiers small enough that the best attack on them is known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.attacks import PlainClassifier
from tests.helpers.classifiers import Alarm, images


class Linear(nn.Module):
    """Two classes by the sign of a weighted sum of the input."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        score = ((x - 0.5) * self.weight).flatten(1).sum(dim=1)
        return torch.stack((-score, score), dim=1)

    def optimum(self, x: Tensor, label: int) -> int:
        """The fewest pixels to change: those whose best value moves the sum most come first."""
        weight = (self.weight * (2 * label - 1)).detach()
        gain = torch.maximum(weight * x, -weight * (1 - x))
        gain = gain.flatten() if gain.ndim == 1 else gain.sum(dim=0).flatten()
        score = float(((x - 0.5) * weight).sum())
        return int((gain.sort(descending=True).values.cumsum(0) < score).sum()) + 1


def linear_problem(
    shape: tuple[int, ...], number: int
) -> tuple[PlainClassifier, Tensor, NDArray[np.int64], NDArray[np.int64]]:
    """A linear classifier, images it is sure of, their labels, and the best attacks' sizes."""
    model = Linear(shape)
    x = images(number, shape=shape)
    side = 2 * model(x).argmax(dim=1) - 1
    side = side.view(-1, *[1] * len(shape))
    x = (x + 0.25 * side * model.weight.detach().sign()).clamp(0, 1)
    labels = model(x).argmax(dim=1).numpy()
    sizes = [model.optimum(image, int(label)) for image, label in zip(x, labels, strict=True)]
    return PlainClassifier(model, 2), x, labels, np.array(sizes)


D, K = 36, 6


def alarm() -> sc.SmoothedClassifier:
    return sc.SmoothedClassifier(Alarm(), sc.UniformAblation(D, K), 2)


def dark_images(number: int) -> Tensor:
    return 0.4 * images(number, 2, (1, 6, 6))


class Centred(nn.Module):
    """Black, white and NULL as -1, 1 and 0, so that an untrained network takes no side."""

    def forward(self, encoded: Tensor) -> Tensor:
        return (encoded[:, 0] - encoded[:, 1]).flatten(1)


def random_network() -> sc.SmoothedClassifier:
    """Three classes, by an untrained network on 4 x 4 images, 5 pixels retained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Linear(16, 24, bias=False), nn.Tanh(), nn.Linear(24, 3, bias=False)
    return sc.SmoothedClassifier(nn.Sequential(Centred(), *layers), sc.UniformAblation(16, 5), 3)
