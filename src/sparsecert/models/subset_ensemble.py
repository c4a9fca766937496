"""One small network for each retained set of a fixed family, all computed at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sparsecert.errors import InputError


class BallotNetwork(nn.Module, ABC):
    """A network that casts the ballots of all sets of a fixed family at once.

    It takes whole encoded inputs, `(batch, ...)`, and gives logits `(batch, sets, classes)`, those
    of a set computed from the units of the set alone.

    Attributes:
        num_inputs: numbers in one encoded input.
    """

    num_inputs: int

    @abstractmethod
    def is_for(self, membership: NDArray[np.bool_]) -> bool:
        """Whether ballot t sees the units of set t and no other, for every set."""

    def check_size(self, encoded: Tensor) -> None:
        """Raise `InputError` for inputs of another size, whose units would be taken for others."""
        if encoded[0].numel() != self.num_inputs:
            raise InputError(
                f"expected encoded inputs of {self.num_inputs} numbers, got shape "
                f"{tuple(encoded.shape[1:])}; check the number of channels or features"
            )


class SubsetEnsemble(BallotNetwork):
    """Networks that each see the features of one retained set, and nothing else.

    A certificate for a fixed family needs a ballot that depends on the features of its set only.
    Here that holds by construction: a member's first layer is given no other feature. The members
    are perceptrons of one size, and each layer of all of them is one batched matrix product.

    Args:
        membership: `(num_sets, num_features)` booleans: the features of each set.
        encoded_channels: numbers per feature after encoding.
        num_classes: number of classes.
        hidden: widths of the hidden layers of one member.

    Raises:
        InputError: for a width or a number of classes under 1.
    """

    inputs: Tensor

    def __init__(
        self,
        membership: NDArray[np.bool_],
        encoded_channels: int,
        num_classes: int,
        hidden: Sequence[int] = (160, 160),
    ) -> None:
        super().__init__()
        if any(width < 1 for width in (*hidden, num_classes)):
            raise InputError(
                "expected hidden widths and a number of classes of at least 1, "
                f"got {tuple(hidden)} and {num_classes}"
            )
        index = _inputs_of_sets(membership, encoded_channels)
        self.num_inputs = encoded_channels * membership.shape[1]
        self.register_buffer("inputs", torch.from_numpy(index), persistent=False)
        sizes = (index.shape[1], *hidden, num_classes)
        self.layers = nn.ModuleList(
            _Members(len(membership), before, after) for before, after in pairwise(sizes)
        )

    def is_for(self, membership: NDArray[np.bool_]) -> bool:
        """Whether member t sees the features of set t and no other, for every set."""
        channels = self.inputs.shape[1] // int(membership.sum(axis=1).max())
        return np.array_equal(self.inputs.cpu().numpy(), _inputs_of_sets(membership, channels))

    def forward(
        self, encoded: Float[Tensor, "batch *encoded_shape"]
    ) -> Float[Tensor, "batch sets classes"]:
        """The logits of every member on whole encoded inputs.

        Raises:
            InputError: for inputs of another size.
        """
        self.check_size(encoded)
        features = functional.pad(encoded.flatten(1).T, (0, 0, 0, 1))  # a row of zeros at the end
        hidden: Tensor = self.layers[0](features[self.inputs])
        for layer in self.layers[1:]:
            hidden = layer(functional.relu(hidden))
        return hidden.movedim(2, 0).float()


class _Members(nn.Module):
    """A linear layer for each member, on `(members, features, batch)`."""

    def __init__(self, num_members: int, before: int, after: int) -> None:
        super().__init__()
        # As torch initialises a linear layer before a ReLU: He et al. (2015).
        weight = torch.randn(num_members, after, before) * (2 / before) ** 0.5
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(num_members, after, 1))

    def forward(
        self, x: Float[Tensor, "members before batch"]
    ) -> Float[Tensor, "members after batch"]:
        return torch.baddbmm(self.bias, self.weight, x)


def _inputs_of_sets(membership: NDArray[np.bool_], encoded_channels: int) -> NDArray[np.int64]:
    """`(sets, inputs)` places in a flat encoded input of the numbers that each set may see.

    Sets smaller than the largest point past the end, where a zero is put.
    """
    num_sets, num_features = membership.shape
    largest = int(membership.sum(axis=1).max())
    index = np.full((num_sets, encoded_channels, largest), encoded_channels * num_features)
    offsets = np.arange(encoded_channels)[:, None] * num_features
    for places, member in zip(index, membership, strict=True):
        features = np.flatnonzero(member)
        places[:, : len(features)] = offsets + features
    return index.reshape(num_sets, -1)
