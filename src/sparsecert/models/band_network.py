"""One convolutional network for all contiguous sets of a family, shown nothing but the set."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sparsecert.models.subset_ensemble import BallotNetwork

_SETS_PER_STEP = 2


class BandNetwork(BallotNetwork):
    """A small residual network on the crops of an image, or of a vector, that are its sets.

    A crop is a fraction of the image, so a pass costs as little as one on the whole image for all
    sets together, and a crop that goes on at the other end of the image is in one piece. Where it
    comes from is learned: a vector for each set, and one for each place in the crop.

    Args:
        crops: `(sets, height, width)` the units of every set (`designs.bands.Bands.crops`).
        encoded_channels: numbers per unit after encoding.
        num_units: of the input.
        num_classes: number of classes.
        width: channels of the first of three stages; each has twice as many as the one before.

    In training two random sets of each image are looked at.
    """

    crops: Tensor

    def __init__(
        self,
        crops: NDArray[np.int64],
        encoded_channels: int,
        num_units: int,
        num_classes: int,
        width: int = 32,
    ) -> None:
        super().__init__()
        self.num_units, self.num_inputs = num_units, encoded_channels * num_units
        self.register_buffer("crops", torch.from_numpy(crops.copy()), persistent=False)
        self.sets = nn.Parameter(torch.zeros(len(crops), width, 1, 1))
        self.places = nn.Parameter(torch.zeros(width, *crops.shape[1:]))
        self.stem = nn.Conv2d(encoded_channels, width, 3, padding=1, bias=False)
        stages, sides = [_Block(width, width, (1, 1))], crops.shape[1:]
        for channels in (width, 2 * width):
            stride = tuple(2 if side > 2 else 1 for side in sides)
            stages.append(_Block(channels, 2 * channels, (stride[0], stride[1])))
            sides = tuple(-(-side // by) for side, by in zip(sides, stride, strict=True))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(8 * width, num_classes)

    def is_for(self, membership: NDArray[np.bool_]) -> bool:
        """Whether the crops are these sets, in their order."""
        sets = np.zeros((len(self.crops), self.num_units), dtype=np.bool_)
        np.put_along_axis(sets, self.crops.cpu().numpy().reshape(len(sets), -1), True, axis=1)
        return np.array_equal(sets, membership)

    def forward(
        self, encoded: Float[Tensor, "batch *encoded_shape"]
    ) -> Float[Tensor, "batch some_sets classes"]:
        """The logits of every set on whole encoded inputs; in training of a few.

        Raises:
            InputError: for inputs of another size.
        """
        self.check_size(encoded)
        batch, number = len(encoded), len(self.crops)
        if self.training:
            sets = torch.randint(number, (batch, _SETS_PER_STEP), device=encoded.device)
        else:
            sets = torch.arange(number, device=encoded.device).expand(batch, -1)
        units = encoded.reshape(batch, -1, self.num_units).transpose(1, 2)
        rows = torch.arange(batch, device=encoded.device)[:, None, None, None]
        shown = units[rows, self.crops[sets]].flatten(0, 1).movedim(3, 1)
        where = self.sets[sets].flatten(0, 1) + self.places
        hidden = self.stages(self.stem(shown) + where)
        pooled = torch.cat((hidden.mean(dim=(2, 3)), hidden.amax(dim=(2, 3))), dim=1)
        logits: Tensor = self.head(pooled)
        return logits.view(*sets.shape, -1).float()


class _Block(nn.Module):
    """Two convolutions, normalised before, and a way around them."""

    def __init__(self, before: int, after: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (before, after))
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.around = (
            nn.Identity() if before == after else nn.Conv2d(before, after, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.norms[0](x))
        hidden = self.second(functional.relu(self.norms[1](self.first(active))))
        around: Tensor = self.around(x if isinstance(self.around, nn.Identity) else active)
        together: Tensor = around + hidden
        return together
