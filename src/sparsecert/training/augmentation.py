"""Random changes to training images that keep their class."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sparsecert.training import Augmentation

PADDING = 1 / 8  # of the image's side: 4 pixels for CIFAR-10, as in the paper
TURN = math.pi / 12  # 15 degrees
STRETCH = 0.2  # of the logarithm of either side
COLOUR = 0.3  # of contrast and saturation; half of it of brightness


def random_crop_and_flip(
    images: Float[Tensor, "batch channels height width"], generator: np.random.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Pad each image with black, crop it at random to its size, and mirror about half of them."""
    batch, _, height, width = images.shape
    tall, wide = round(height * PADDING), round(width * PADDING)
    draws = generator.integers(0, (2 * tall + 1, 2 * wide + 1, 2), size=(batch, 3))
    top, left, mirrored = torch.from_numpy(draws).to(images.device).T[:, :, None]
    rows = top + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    columns = left + torch.where(mirrored == 1, width - 1 - columns, columns)
    padded = functional.pad(images, (wide, wide, tall, tall)).movedim(1, 3)
    example = torch.arange(batch, device=images.device)[:, None, None]
    return padded[example, rows[:, :, None], columns[:, None, :]].movedim(3, 1).contiguous()


def random_warp_and_colour(
    images: Float[Tensor, "batch channels height width"], generator: np.random.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Turn, stretch, shift and mirror each image at random, and change its colours.

    By up to 15 degrees, by a factor of up to 1.22 along either axis, by up to an eighth of its
    side; what lies outside is its reflection. Each result pixel has the colour of the nearest
    pixel of the image, as means of several would be smoother than what is retained of test images.
    Then brightness moves by up to 0.15, contrast and saturation by up to 30 %.
    """
    batch = len(images)
    draws = torch.from_numpy(generator.uniform(-1, 1, (9, batch))).to(images)
    angle, tall, wide, down, right, mirror, bright, contrast, saturation = draws
    rows, columns = torch.exp(STRETCH * tall), torch.exp(STRETCH * wide) * mirror.sign()
    cosine, sine = torch.cos(TURN * angle), torch.sin(TURN * angle)
    top = torch.stack((columns * cosine, -rows * sine, 2 * PADDING * right), dim=1)
    bottom = torch.stack((columns * sine, rows * cosine, 2 * PADDING * down), dim=1)
    places = functional.affine_grid(
        torch.stack((top, bottom), dim=1), list(images.shape), align_corners=False
    )
    warped = functional.grid_sample(
        images, places, mode="nearest", padding_mode="reflection", align_corners=False
    )
    grey = warped.mean(dim=1, keepdim=True)
    level = grey.mean(dim=(2, 3), keepdim=True)
    bright, contrast, saturation = (
        part[:, None, None, None] * COLOUR for part in (bright / 2, contrast, saturation)
    )
    coloured = grey + (1 + saturation) * (warped - grey)
    changed: Tensor = level + (1 + contrast) * (coloured - level) + bright
    return changed.clamp(0, 1)


AUGMENTATIONS: dict[Augmentation, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "none": lambda images, generator: images,
    "crop-flip": random_crop_and_flip,
    "warp-colour": random_warp_and_colour,
}
