"""Random changes to training images that keep their class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

PADDING = 1 / 8  # of the image's side: 4 pixels for CIFAR-10, as in the paper


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
    "crop-flip": random_crop_and_flip,
}
