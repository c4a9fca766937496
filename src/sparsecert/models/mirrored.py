"""A network that looks at an image and at its mirror image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Mirrored(nn.Module):
    """The mean of a network's probabilities for an image and for its mirror image.

    For classes that mirroring does not change. A ballot still depends on what it retains and on
    nothing else. In training, where images are mirrored at random, the network sees each once.

    Args:
        network: from `(batch, channels, height, width)` to `(batch, classes)` logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """The network's logits in training, else logarithms of twice the mean probabilities."""
        logits: Tensor = self.network(x)
        if self.training:
            return logits
        views = (logits, self.network(x.flip(3)))
        one, other = (functional.log_softmax(view.float(), dim=1) for view in views)
        return torch.logaddexp(one, other)
