"""A small multilayer perceptron, for feature vectors and small images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn

from sparsecert.models.layers import Float32Linear


class MLP(nn.Sequential):
    """Fully connected layers with ReLU between them, on the flattened encoded input.

    Args:
        in_features: values of one encoded input, all channels together.
        num_classes: number of classes.
        hidden: widths of the hidden layers.
    """

    def __init__(
        self, in_features: int, num_classes: int, hidden: Sequence[int] = (512, 512)
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for width_in, width_out in itertools.pairwise((in_features, *hidden)):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        super().__init__(*layers, Float32Linear((in_features, *hidden)[-1], num_classes))
