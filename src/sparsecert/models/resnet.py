"""Residual networks (He, Zhang, Ren and Sun 2016), as the paper uses them for colour images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sparsecert.models.layers import Float32Linear

_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4  # of a bottleneck's output


class ResNet(nn.Sequential):
    """Four stages of residual blocks between a stem and a linear layer on the mean over pixels.

    Args:
        in_channels: channels of the encoded image; 6 for colour in the two-channel encoding.
        num_classes: number of classes.
        depths: blocks per stage: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-50 of bottlenecks.
        bottleneck: blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions instead of two 3 x 3.
        large_images: the stem for images of about 224 pixels a side (a 7 x 7 convolution and
            pooling, each of stride 2) instead of that for 32 (a 3 x 3 convolution).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depths: Sequence[int],
        *,
        bottleneck: bool,
        large_images: bool,
    ) -> None:
        if large_images:
            stem = convolution(in_channels, 64, 7, stride=2)
            stem.append(nn.ReLU(inplace=True))
            stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        else:
            stem = convolution(in_channels, 64, 3)
            stem.append(nn.ReLU(inplace=True))
        stages = residual_stages(64, _WIDTHS, depths, bottleneck=bottleneck)
        channels = _WIDTHS[-1] * (_EXPANSION if bottleneck else 1)
        super().__init__(stem, stages, *pooled("mean", channels, num_classes))
        initialise(self)


def residual_stages(
    in_channels: int, widths: Sequence[int], depths: Sequence[int], *, bottleneck: bool = False
) -> nn.Sequential:
    """Residual blocks, stage by stage; each stage after the first begins with a stride of 2.

    Args:
        in_channels: of the input.
        widths: of the stages' convolutions.
        depths: blocks per stage.
        bottleneck: as for `ResidualBlock`.
    """
    stages, channels = nn.Sequential(), in_channels
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for place in range(depth):
            stride = 2 if number > 0 and place == 0 else 1
            block = ResidualBlock(channels, width, stride, bottleneck=bottleneck)
            stages.append(block)
            channels = block.out_channels
    return stages


def pooled(
    pooling: Literal["mean", "maximum"], channels: int, num_classes: int
) -> tuple[nn.Module, ...]:
    """The last layers: a linear one on each channel's mean or maximum over pixels."""
    pool = nn.AdaptiveAvgPool2d(1) if pooling == "mean" else nn.AdaptiveMaxPool2d(1)
    return pool, nn.Flatten(), Float32Linear(channels, num_classes)


def initialise(model: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. (2015) do, by their outputs."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResidualBlock(nn.Module):
    """A few convolutions, added to their own input.

    Args:
        in_channels: of the input.
        width: of the convolutions; a bottleneck gives four times as many channels.
        stride: of the 3 x 3 convolution (the first of two).
        bottleneck: 1 x 1, 3 x 3, 1 x 1 instead of two 3 x 3.
    """

    def __init__(self, in_channels: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            self.out_channels = _EXPANSION * width
            parts = [
                convolution(in_channels, width, 1),
                convolution(width, width, 3, stride),
                convolution(width, self.out_channels, 1),
            ]
        else:
            self.out_channels = width
            parts = [convolution(in_channels, width, 3, stride), convolution(width, width, 3)]
        self.residual = nn.Sequential(parts[0])
        for part in parts[1:]:
            self.residual.extend([nn.ReLU(inplace=True), part])
        same = stride == 1 and in_channels == self.out_channels
        shortcut = nn.Identity() if same else convolution(in_channels, self.out_channels, 1, stride)
        self.shortcut: nn.Module = shortcut

    def make_identity(self) -> None:
        """Scale the residual by 0: a block that keeps its input's shape then gives its input.

        If that is nowhere negative, as behind a ReLU.
        """
        *_, last = self.residual.modules()
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch more_channels lower narrower"]:
        """The block's output, after its last ReLU."""
        total: Tensor = self.residual(x) + self.shortcut(x)
        return functional.relu(total, inplace=not torch.is_grad_enabled())


def convolution(in_channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size up to its stride, and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, padding=(size - 1) // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )
