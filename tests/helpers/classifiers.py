"""Base classifiers small enough to be understood, and images for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import sparsecert as sc


def images(count: int = 6, seed: int = 1, shape: tuple[int, ...] = (1, 4, 4)) -> Tensor:
    """Noise, the same for the same seed."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def perceptron(in_features: int = 32, num_classes: int = 3) -> nn.Sequential:
    """An untrained network, by default for two-channel 4 x 4 images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(in_features, 24), nn.Tanh(), nn.Linear(24, num_classes)
        )


class Weighing(nn.Module):
    """Weighs the retained of 16 pixels, bright against dark: shares differ from image to image.

    With few pixels retained each class is first now and then.
    """

    def __init__(self, num_classes: int, bias: Tensor | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.weights = torch.randn(16, num_classes, generator=generator)
        self.bias = 0.4 * torch.randn(num_classes, generator=generator) if bias is None else bias

    def forward(self, encoded: Tensor) -> Tensor:
        value, complement = encoded.flatten(2).unbind(dim=1)
        return (value - complement) @ self.weights + self.bias


def weighing(
    num_classes: int = 3, num_retained: int = 2, limit: int | None = None
) -> sc.SmoothedClassifier:
    """A smoothed classifier on 4 x 4 images that is sure of some of them and not of others."""
    bias = torch.tensor([0.5, 0.0, 0.1]) if num_classes == 3 else None
    return sc.SmoothedClassifier(
        Weighing(num_classes, bias),
        sc.UniformAblation(16, num_retained),
        num_classes,
        ballots_per_pass=limit,
    )


class Alarm(nn.Module):
    """Votes 1 where a retained pixel is bright: every touched ballot can be turned.

    On a dark image all ballots say 0, and those that meet one of rho brightened pixels say 1: a
    share of exactly Delta(d, k, rho), so Theorem 1 is tight.
    """

    def forward(self, encoded: Tensor) -> Tensor:
        brightest = encoded[:, 0].flatten(1).max(dim=1).values
        return torch.stack((torch.zeros_like(brightest), 8 * (brightest - 0.6)), dim=1)


class Brightness(nn.Module):
    """Votes 1 where the retained pixels are brighter than grey on average, else 0."""

    def forward(self, encoded: Tensor) -> Tensor:
        value, complement = encoded.flatten(2).sum(dim=2).unbind(dim=1)
        return torch.stack((complement, value), dim=1)


def tied_logits(ballots: int, num_classes: int) -> Tensor:
    """Logits with many ties, infinities and both zeros."""
    values = torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 2.0, torch.inf])
    generator = torch.Generator().manual_seed(0)
    return values[torch.randint(len(values), (ballots, num_classes), generator=generator)]
