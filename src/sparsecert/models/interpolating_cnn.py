"""The paper's MNIST network behind a fixed interpolation of the retained pixels."""

from __future__ import annotations

from torch import nn

from sparsecert.models.interpolation import Interpolation
from sparsecert.models.layers import Float32Linear


class InterpolatingCNN(nn.Sequential):
    """`Interpolation`, then the paper's layers with batch normalisation.

    Args:
        in_channels: channels of the encoded image; must come from the two-channel encoding.
        height: of the images, divisible by 4.
        width: of the images, divisible by 4.
        num_classes: number of classes.
        channels: of the first convolution; the second has twice as many.
        hidden: widths of the two hidden layers; by default in proportion to the channels, with the
            paper's 500 and 100 for 64.
    """

    def __init__(
        self,
        in_channels: int,
        height: int,
        width: int,
        num_classes: int,
        channels: int = 64,
        hidden: tuple[int, int] | None = None,
    ) -> None:
        wide, narrow = hidden or (500 * channels // 64, 100 * channels // 64)
        interpolation = Interpolation(height, width)
        super().__init__(
            interpolation,
            nn.Conv2d(
                interpolation.output_channels(in_channels),
                channels,
                kernel_size=4,
                stride=2,
                padding=1,
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * (height // 4) * (width // 4), wide),
            nn.BatchNorm1d(wide),
            nn.ReLU(),
            nn.Linear(wide, narrow),
            nn.BatchNorm1d(narrow),
            nn.ReLU(),
            Float32Linear(narrow, num_classes),
        )
