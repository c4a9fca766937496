"""Layers that several networks share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Float32Linear(nn.Linear):
    """A last layer that computes in float32 under autocast too, so that logits seldom tie."""

    def forward(self, input: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """The logits."""
        with torch.autocast(input.device.type, enabled=False):
            return functional.linear(input.float(), self.weight, self.bias)
