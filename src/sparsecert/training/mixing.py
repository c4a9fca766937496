"""Training inputs made of two, whose target is divided between their labels.

A network that has learnt its training images by heart recognises them by a few retained pixels, and
no ablation prevents it; a pair of images it has never seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from sparsecert.training import Mixing


def cutmix(
    images: Float[Tensor, "batch channels height width"],
    others: Float[Tensor, "batch channels height width"],
    generator: np.random.Generator,
) -> tuple[Tensor, Float[Tensor, " batch"]]:
    """CutMix (Yun et al. 2019): a rectangle of each image is taken from another one.

    Its area is uniform before it is cut off at the border, its shape the image's, its centre any
    pixel.

    Returns:
        The images, and the share of each that is its own.
    """
    batch, _, height, width = images.shape
    draws = torch.from_numpy(generator.random((3, batch))).to(images)
    area, down, right = draws[:, :, None]
    inside = [
        (torch.arange(side, device=images.device) + 0.5 - centre * side).abs()
        < side * area.sqrt() / 2
        for side, centre in ((height, down), (width, right))
    ]
    rectangle = inside[0][:, :, None] & inside[1][:, None, :]
    own = 1 - rectangle.flatten(1).to(images).mean(dim=1)
    return torch.where(rectangle[:, None], others, images), own


def mixup(
    inputs: Float[Tensor, "batch ..."],
    others: Float[Tensor, "batch ..."],
    generator: np.random.Generator,
) -> tuple[Tensor, Float[Tensor, " batch"]]:
    """Mixup (Zhang et al. 2018): means of two inputs, with uniform weights.

    Returns:
        The inputs, and the weight of each itself.
    """
    own = torch.from_numpy(generator.random(len(inputs))).to(inputs)
    weight = own.view(-1, *(1,) * (inputs.ndim - 1))
    return torch.lerp(others, inputs, weight), own


_MIXED: dict[Mixing, Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]] = {
    "cutmix": cutmix,
    "mixup": mixup,
}


def mix(
    mixing: Mixing,
    inputs: Float[Tensor, "batch ..."],
    labels: Int[Tensor, " batch"],
    num_classes: int,
    generator: np.random.Generator,
) -> tuple[Tensor, Float[Tensor, "batch classes"]]:
    """Mix each input of a minibatch with another one of it.

    Returns:
        The inputs, and their targets, which are nowhere negative and sum to 1.
    """
    partner = torch.from_numpy(generator.permutation(len(inputs))).to(inputs.device)
    mixed, own = _MIXED[mixing](inputs, inputs[partner], generator)
    targets = functional.one_hot(labels, num_classes).to(mixed)
    return mixed, torch.lerp(targets[partner], targets, own[:, None])
