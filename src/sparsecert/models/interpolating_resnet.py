"""A small residual network behind a fixed interpolation of the retained pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from sparsecert.models.interpolation import Interpolation
from sparsecert.models.resnet import (
    ResidualBlock,
    convolution,
    initialise,
    pooled,
    residual_stages,
)

_STAGES = 2  # place of the residual stages among the layers


class InterpolatingResNet(nn.Sequential):
    """`Interpolation`, a convolution that halves the sides, residual stages, a pool over pixels.

    Few of an image's pixels are retained, so its finest scale holds little: the residual blocks
    (He, Zhang, Ren and Sun 2016) work at half the sides and below. Weights lie in memory with the
    channels last, which makes training and voting about a tenth faster on a CPU.

    Args:
        in_channels: channels of the encoded image; must come from the two-channel encoding.
        height: of the images, divisible by 4.
        width: of the images, divisible by 4.
        num_classes: number of classes.
        widths: channels of each stage; sides halve from one to the next.
        depths: blocks of two convolutions in each stage.
        pooling: what the last layer sees of each channel: its "mean" or its "maximum" over pixels.
    """

    def __init__(
        self,
        in_channels: int,
        height: int,
        width: int,
        num_classes: int,
        widths: Sequence[int] = (32, 64, 128),
        depths: Sequence[int] = (1, 1, 1),
        pooling: Literal["mean", "maximum"] = "mean",
    ) -> None:
        interpolation = Interpolation(height, width)
        stem = convolution(interpolation.output_channels(in_channels), widths[0], 4, stride=2)
        stem.append(nn.ReLU(inplace=True))
        super().__init__(
            interpolation,
            stem,
            residual_stages(widths[0], widths, depths),
            *pooled(pooling, widths[-1], num_classes),
        )
        self.depths = tuple(depths)
        initialise(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def grow_from(self, shallower: InterpolatingResNet) -> None:
        """Take over the weights of a network that differs in having fewer blocks in a stage.

        The blocks it lacks, the last of their stage, begin as the identity: their last
        normalisation is scaled by 0, so they add nothing to an input that is not negative. So
        this network computes at first what that one does (Chen, Goodfellow and Shlens 2016).

        Args:
            shallower: of the same widths and pooling, and nowhere deeper.
        """
        places = itertools.accumulate(self.depths, initial=0)
        kept = [
            first + place
            for first, depth in zip(places, shallower.depths, strict=False)
            for place in range(depth)
        ]
        for number, layer in enumerate(self):
            if number != _STAGES:
                layer.load_state_dict(shallower[number].state_dict())
        blocks, theirs = _blocks(self), _blocks(shallower)
        for place, block in zip(kept, theirs, strict=True):
            blocks[place].load_state_dict(block.state_dict())
        for place in set(range(len(blocks))).difference(kept):
            blocks[place].make_identity()


def _blocks(network: InterpolatingResNet) -> list[ResidualBlock]:
    return [layer for layer in network[_STAGES].modules() if isinstance(layer, ResidualBlock)]
