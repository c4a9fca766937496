"""The yardstick: randomized ablation as one would write it down from the paper.

One image at a time; for each batch of ablations a dense random mask from the k largest of d random
numbers, the two channels of the encoding stacked, a float32 forward pass in eager mode, and the
votes counted by `bincount`. After Levine and Feizi (2020) and the `core.py` of Cohen, Rosenfeld and
Kolter (2019).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor, nn

import sparsecert as sc


def count_votes(
    base: nn.Module, image: Tensor, k: int, num_samples: int, num_classes: int, batch_size: int
) -> NDArray[np.int64]:
    """`(classes,)` votes on random ablations of one `(channels, height, width)` image."""
    height, width = image.shape[1:]
    counts = np.zeros(num_classes, dtype=np.int64)
    with torch.no_grad():
        for start in range(0, num_samples, batch_size):
            size = min(batch_size, num_samples - start)
            kept = torch.rand(size, height * width).topk(k, dim=1).indices
            mask = torch.zeros(size, height * width).scatter_(1, kept, 1.0)
            mask = mask.view(size, 1, height, width)
            encoded = torch.cat((image * mask, (1 - image) * mask), dim=1)
            votes = base(encoded).argmax(dim=1)
            counts += torch.bincount(votes, minlength=num_classes).numpy()
    return counts


def certify(
    base: nn.Module,
    image: Tensor,
    k: int,
    num_selection: int,
    num_samples: int,
    alpha: float,
    num_classes: int,
    batch_size: int,
) -> tuple[int, int]:
    """The class and the certified radius in pixels (Corollary 1); -1 for none."""
    d = image.shape[-2] * image.shape[-1]
    top = int(count_votes(base, image, k, num_selection, num_classes, batch_size).argmax())
    votes = count_votes(base, image, k, num_samples, num_classes, batch_size)[top]
    lower = beta.ppf(alpha, votes, num_samples - votes + 1)
    radius = -1
    while lower - sc.ablation_shift(d, k, radius + 1) > 0.5:
        radius += 1
    return top, radius
