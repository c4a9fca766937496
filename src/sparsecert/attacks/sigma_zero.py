"""Sigma-zero (Cinà et al. 2025), a gradient attack, through the averaged soft votes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim, attack_each
from sparsecert.attacks.query import InputUnits, Queries, Version
from sparsecert.attacks.reset import found_images, reset_features
from sparsecert.errors import check_num_samples

_SIGMA = 1e-3  # how closely delta^2 / (delta^2 + sigma) follows "is changed"
_FIRST_THRESHOLD = 0.3  # changes below the threshold are taken back
_THRESHOLD_STEP = 0.01
_RATE = 1.0  # of the first step
_BETAS = (0.9, 0.999)  # Adam's
_TINY = 1e-8


def sigma_zero_attack(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None = None,
    *,
    steps: int = 200,
    probe: Probe = DEFAULT_PROBE,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> AttackResult:
    """Descend on the lead plus a smooth count of changed pixels.

    The count is the sum over pixels of s / (s + sigma), where s is the sum of a pixel's squared
    changes over its channels. Each step follows the gradient, divided by its largest entry, with
    Adam at a rate that falls along a cosine, clips to [0, 1], and takes back pixels whose
    change is below a threshold that rises while the image fools and falls while it does not. A
    smoothed classifier's lead is the average over fresh ablations, differentiated through the
    encoding. Fooling images are also tried with every change drawn out to black or white, and
    then lose the pixels that are not needed.

    Args:
        victim: the attacked classifier; gradients must flow to its input.
        images: `(batch, channels, height, width)` or `(batch, features)` in [0, 1].
        labels: `(batch,)` correct classes.
        budget: the largest number of changed pixels that counts; any by default.
        steps: gradient steps per image.
        probe: the attacked procedure; `num_gradient` ballots give one gradient.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.

    Raises:
        InputError: for input that the classifier does not take, or labels that do not match.
    """
    check_num_samples(steps, "steps")

    def search(queries: Queries, _: int, generator: np.random.Generator) -> Iterator[Tensor]:
        found = _descend(queries, steps)
        yield from (version.image for version in found)
        if not found:
            return
        starts = found[-1:]
        drawn_out = queries.version(_drawn_out(starts[0].image, queries.original))
        if queries.fooled([drawn_out], strict=True)[0]:
            starts.append(drawn_out)
        yield from found_images(reset_features(queries, starts, generator))

    return attack_each(
        victim, images, labels, budget, search, probe=probe, seed=seed, indices=indices
    )


def _descend(queries: Queries, steps: int) -> list[Version]:
    """Fooling versions on the way, each smaller than the one before."""
    original = image = queries.original
    units, d = queries.units, queries.units.number
    first, second = torch.zeros_like(original), torch.zeros_like(original)
    threshold, smallest = _FIRST_THRESHOLD, d + 1
    found: list[Version] = []
    for step in range(1, steps + 1):
        rate = _RATE * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        moving = image.clone().requires_grad_()
        soft, lead = queries.soft_lead(moving)
        loss = soft.clamp_min(0) + _smooth_count(units, _change(moving, original)).sum() / d
        (gradient,) = torch.autograd.grad(loss, moving)
        fooled = lead <= 0
        size = int(units.changed(image, original).sum())
        if fooled and size < smallest:
            version = queries.version(image)
            if queries.fooled([version], strict=True)[0]:
                found.append(version)
                smallest = size
        gradient = gradient / gradient.abs().max().clamp_min(_TINY)
        first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
        second = _BETAS[1] * second + (1 - _BETAS[1]) * gradient**2
        corrected = first / (1 - _BETAS[0] ** step)
        scale = (second / (1 - _BETAS[1] ** step)).sqrt() + _TINY
        image = (image - rate * corrected / scale).clamp(0, 1)
        large = units.sums(_change(image, original) ** 2).sqrt() >= threshold
        image = units.replaced(original, image, large.cpu().numpy())
        threshold += _THRESHOLD_STEP * rate if fooled else -_THRESHOLD_STEP * rate
        threshold = max(threshold, 0.0)
    return found


def _change(image: Tensor, original: Tensor) -> Tensor:
    """What is missing has no gradient, and so stays missing."""
    return torch.where(original.isnan(), 0, image - original)


def _smooth_count(units: InputUnits, delta: Tensor) -> Tensor:
    square = units.sums(delta**2)
    return square / (square + _SIGMA)


def _drawn_out(image: Tensor, original: Tensor) -> Tensor:
    """Every change drawn out to the end of [0, 1] that it goes towards."""
    return torch.where(image > original, 1, torch.where(image < original, 0, image)).to(image)
