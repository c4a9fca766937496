"""A fixed layer that spreads the retained pixels over the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_EMPTY = 1e-3  # far below the weight of one pixel nearby, so it only decides where there is none


class Interpolation(nn.Module):
    """Adds what the retained pixels around each pixel suggest to a two-channel encoding.

    With k of d pixels retained most of an image is NULL, and a small convolution rarely sees two
    retained pixels at once. For each width this appends, per channel, the Gaussian-weighted mean
    of the retained values around every pixel (the estimator of Nadaraya and Watson 1964, here
    minus 1/2 so that "unknown" is 0), and the weight they have together. There is nothing to
    train.

    Args:
        height: of the images.
        width: of the images.
        scales: standard deviations of the Gaussians, in pixels.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, scales: Sequence[float] = (1.5, 3.0)) -> None:
        super().__init__()
        # Gaussians are separable: one small matrix product along each axis spreads an image.
        rows = torch.stack([_gaussian(height, scale) for scale in scales])
        columns = torch.cat([_gaussian(width, scale) for scale in scales], dim=1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.num_scales = len(scales)

    def output_channels(self, in_channels: int) -> int:
        """The input's channels, and per scale a mean for each colour and one weight."""
        return in_channels + self.num_scales * (in_channels // 2 + 1)

    def forward(
        self, encoded: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch more_channels height width"]:
        """The encoded images with the interpolation's channels appended."""
        if torch.is_autocast_enabled(encoded.device.type):
            # The products round to this type anyway; so the sums between them are in it too.
            encoded = encoded.to(torch.get_autocast_dtype(encoded.device.type))
        batch, channels, height, width = encoded.shape
        along_columns = (encoded @ self.columns).view(batch, -1, height, self.num_scales, width)
        spread = self.rows @ along_columns.transpose(2, 3)
        spread = spread.reshape(batch, 2, channels // 2, self.num_scales, height, width)
        value, complement = spread[:, 0], spread[:, 1]
        weight = value + complement  # a retained pixel's channels add up to one
        mean = (value - weight / 2) / (weight + _EMPTY)
        return torch.cat((encoded, mean.flatten(1, 2), weight[:, 0] / 3), dim=1)


def _gaussian(size: int, scale: float) -> Tensor:
    """`(size, size)` weights by distance along one axis."""
    position = torch.arange(size, dtype=torch.float64)
    distance = position[:, None] - position[None, :]
    return torch.exp(-(distance**2) / (2 * scale**2)).float()
