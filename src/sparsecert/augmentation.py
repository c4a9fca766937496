"""Random changes to training images that keep their class."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# Enough to vary handwriting, too little to turn a 6 into a 9 or to push a digit out of the image.
MAX_ROTATION = 8 * math.pi / 180
MAX_SCALING = 0.08
MAX_SHEAR = 0.12
MAX_SHIFT = 0.04  # of the image's side
PADDING = 1 / 8  # of the image's side: 4 pixels for CIFAR-10, as in the paper


def random_affine(
    images: Float[Tensor, "batch channels height width"], generator: np.random.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Rotate, scale, shear and shift about half the images by small random amounts.

    The other half stay as they are: interpolation between pixels, though bicubic, smooths a
    little, and a network that only saw smooth images would miss the grey levels of plain ones.
    Black comes in at the borders.
    """
    uniform = torch.from_numpy(generator.uniform(-1, 1, size=(len(images), 7)).astype(np.float32))
    uniform = uniform.to(images.device)
    angle, scale, shear = (
        uniform[:, 0] * MAX_ROTATION,
        1 + uniform[:, 1:3] * MAX_SCALING,
        uniform[:, 3] * MAX_SHEAR,
    )
    matrix = images.new_empty(len(images), 2, 3)
    matrix[:, 0, 0] = scale[:, 0] * angle.cos()
    matrix[:, 0, 1] = shear - scale[:, 0] * angle.sin()
    matrix[:, 1, 0] = scale[:, 1] * angle.sin()
    matrix[:, 1, 1] = scale[:, 1] * angle.cos()
    matrix[:, :, 2] = 2 * MAX_SHIFT * uniform[:, 4:6]  # grid coordinates run from -1 to 1
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return torch.where(uniform[:, 6, None, None, None] < 0, moved, images)


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


AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "none": lambda images, generator: images,
    "affine": random_affine,
    "crop-flip": random_crop_and_flip,
}
