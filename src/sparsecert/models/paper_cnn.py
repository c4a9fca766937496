"""The paper's MNIST network (its Appendix A)."""

from __future__ import annotations

from torch import nn

from sparsecert.models.layers import Float32Linear


class PaperCNN(nn.Sequential):
    """Two strided convolutions and three fully connected layers, for 28 x 28 images.

    Args:
        in_channels: channels of the encoded image; 2 for grey images in the two-channel encoding.
        num_classes: number of classes.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 64, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128 * 7 * 7, 500),
            nn.ReLU(),
            nn.Linear(500, 100),
            nn.ReLU(),
            Float32Linear(100, num_classes),
        )
