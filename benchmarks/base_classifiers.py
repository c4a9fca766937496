"""Base classifiers that are compared in `ballots.py` and that no command builds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class RetainedMLP(nn.Module):
    """A perceptron whose first layer reads the k retained pixels only.

    Args:
        num_features: d.
        num_retained: k; every input must retain as many.
        num_classes: number of classes.
        width: of the hidden layers.
    """

    def __init__(self, num_features: int, num_retained: int, num_classes: int, width: int = 1024):
        super().__init__()
        self.num_retained = num_retained
        # One row for each channel of each pixel, as a linear layer has columns.
        self.rows = nn.Parameter(torch.randn(2 * num_features, width) / num_retained**0.5)
        self.rest = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, num_classes),
        )

    def forward(self, encoded: Float[Tensor, "batch 2 height width"]) -> Tensor:
        """Logits."""
        places, shown = _retained(encoded, self.num_retained)
        d = encoded[0, 0].numel()
        index = torch.cat((places, places + d), dim=1)
        weights = torch.cat((shown, 1 - shown), dim=1)
        first = functional.embedding_bag(index, self.rows, per_sample_weights=weights, mode="sum")
        logits: Tensor = self.rest(first)
        return logits


class SetTransformer(nn.Module):
    """Attention among the retained pixels, each a token of its place and its value.

    Args:
        num_features: d.
        num_retained: k; every input must retain as many.
        num_classes: number of classes.
        width: of a token.
        depth: layers.
    """

    def __init__(
        self,
        num_features: int,
        num_retained: int,
        num_classes: int,
        width: int = 64,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.num_retained = num_retained
        self.place = nn.Embedding(num_features, width)
        self.value = nn.Embedding(num_features, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_classes))

    def forward(self, encoded: Float[Tensor, "batch 2 height width"]) -> Tensor:
        """Logits."""
        places, shown = _retained(encoded, self.num_retained)
        tokens = self.place(places) + self.value(places) * shown[:, :, None]
        logits: Tensor = self.out(self.layers(tokens).mean(dim=1))
        return logits


def _retained(encoded: Tensor, num_retained: int) -> tuple[Tensor, Tensor]:
    """`(batch, k)` places of the retained pixels, and their values."""
    flat = encoded.flatten(2)
    known = flat.sum(dim=1) > 0
    places = known.nonzero()[:, 1].view(len(encoded), num_retained)
    return places, flat[:, 0].gather(1, places)
