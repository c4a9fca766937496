"""How NULL, the absence of a feature, is shown to a base classifier.

An encoding takes raw inputs in [0, 1] and masks that say which features are retained, and gives
what the network sees. Images are `(batch, channels, height, width)` and their features are the
height x width pixels; feature vectors are `(batch, features)`. A missing feature of a vector is
NaN, and is shown as NULL, retained or not.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.designs.design import Units
from sparsecert.errors import InputError


@runtime_checkable
class Encoding(Protocol):
    """What `SmoothedClassifier` and training ask of an encoding."""

    def __call__(
        self, x: Float[Tensor, "#batch *shape"], mask: Shaped[Tensor, "batch features"]
    ) -> Float[Tensor, "batch *encoded_shape"]:
        """Encode each x with the features outside its mask replaced by NULL.

        The mask is what the design draws. An x of batch 1 is encoded once for every mask.
        """
        ...

    def output_channels(self, input_channels: int) -> int:
        """Channels (or values per feature) of the encoded input."""
        ...


@dataclass(frozen=True)
class TwoChannelEncoding:
    """The paper's multichannel rule: a value v becomes (v, 1 - v), NULL becomes (0, 0).

    Colour channels are followed by their complements: 1 -> 2 channels for grey, 3 -> 6 for
    colour. A feature vector of length F becomes one of length 2 F, values first.

    With `mean` and `std` (one number per channel) each channel is standardised first, as the
    paper does for ImageNet; NULL stays 0 everywhere.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise InputError("expected both mean and std, or neither")
        if self.mean is not None and self.std is not None:
            _check_numbers(self.mean, "mean")
            _check_numbers(self.std, "std")
            if len(self.mean) != len(self.std):
                raise InputError("expected as many values in mean as in std")
            if min(self.std) <= 0:
                raise InputError(f"expected every std to be positive, got {self.std}")

    def __call__(
        self, x: Float[Tensor, "#batch *shape"], mask: Bool[Tensor, "batch features"]
    ) -> Float[Tensor, "batch *encoded_shape"]:
        """Encode; see `Encoding`."""
        if self.mean is not None and self.std is not None:
            x = (x - _per_channel(self.mean, x)) / _per_channel(self.std, x)
        # Chosen, not multiplied by 0: what is ablated must leave no trace, not even a sign.
        both = torch.cat((x, 1 - x), dim=1)
        shown = _shown(mask, x)
        if x.ndim == 2:
            shown = shown.repeat(1, 2)
        return torch.where(shown, both, 0)

    def output_channels(self, input_channels: int) -> int:
        """Twice the input's."""
        return 2 * input_channels


@dataclass(frozen=True)
class MeanEncoding:
    """NULL is shown as the training set's mean; the number of channels stays (Table 8).

    Attributes:
        mean: one number per channel of an image; for feature vectors one number, or one per
            feature.
    """

    mean: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_numbers(self.mean, "mean")

    def __call__(
        self, x: Float[Tensor, "#batch *shape"], mask: Bool[Tensor, "batch features"]
    ) -> Float[Tensor, "batch *encoded_shape"]:
        """Encode; see `Encoding`."""
        return torch.where(_shown(mask, x), x, _per_channel(self.mean, x))

    def output_channels(self, input_channels: int) -> int:
        """The input's."""
        return input_channels


@dataclass(frozen=True)
class NoiseEncoding:
    """What `DiscreteNoise` leaves of an input; nothing is NULL.

    Inputs are rounded to levels 0 .. num_values - 1, so with 2 values images are black and white.

    Attributes:
        num_values: |S| of the noise.
    """

    num_values: int

    def __call__(
        self, x: Float[Tensor, "#batch *shape"], mask: Int[Tensor, "batch features"]
    ) -> Float[Tensor, "batch *shape"]:
        """Add the drawn offsets (called `mask` by the protocol) to the levels of each x."""
        if x.isnan().any():
            raise InputError("expected every feature to be known, since noise makes none NULL")
        highest = self.num_values - 1
        # Integers: a format that rounded a level would change the noise that is certified.
        level = (x.float() * highest).round().long()
        noisy = (level + mask.view(len(mask), *x.shape[1:])) % self.num_values
        return (noisy / highest).to(x.dtype)

    def output_channels(self, input_channels: int) -> int:
        """The input's."""
        return input_channels


def channel_mean(inputs: NDArray[Any]) -> tuple[float, ...]:
    """Mean of each channel of `(size, channels, height, width)` images, or of each feature.

    Bytes are taken as shares of 255.
    """
    axes = (0, 2, 3) if inputs.ndim == 4 else 0
    scale = 255 if inputs.dtype == np.uint8 else 1
    mean = np.atleast_1d(np.nanmean(inputs, axis=axes, dtype=np.float64)) / scale
    return tuple(mean.tolist())


def resolve_encoding(encoding: str | Encoding) -> Encoding:
    """An encoding by name, or the given one.

    Raises:
        InputError: for an unknown name, or "mean", which needs the training set's mean.
    """
    if isinstance(encoding, Encoding) and not isinstance(encoding, type):
        return encoding
    if encoding == "two-channel":
        return TwoChannelEncoding()
    if encoding == "mean":
        raise InputError(
            "the mean encoding needs the training set's mean: "
            "pass encoding=MeanEncoding(mean=(0.13,)), one number per channel"
        )
    raise InputError(f"expected encoding to be 'two-channel' or 'mean', got {encoding!r}")


def _check_numbers(values: Any, name: str) -> None:
    if not all(isinstance(value, numbers.Real) for value in values):
        raise InputError(f"expected {name} as a tuple with a number per channel, got {values!r}")


def check_encoding(encoding: Encoding, design: Units) -> None:
    """Raise `InputError` for an encoding that does not apply what the design draws.

    Its certificates would be wrong.
    """
    values = getattr(design, "num_values", None)  # of noise; what retains sets has none
    wanted = None if values is None else NoiseEncoding(values)
    if wanted != (encoding if isinstance(encoding, NoiseEncoding) else None):
        raise InputError(
            "expected NoiseEncoding(num_values) with noise of as many values, and with nothing "
            f"else; got {encoding} with {design!r}"
        )


def _shown(mask: Tensor, x: Tensor) -> Tensor:
    """Which features are retained and not missing, in the shape of x with one channel."""
    return mask & ~x.isnan() if x.ndim == 2 else mask.reshape(len(mask), 1, *x.shape[2:])


def _per_channel(values: tuple[float, ...], x: Tensor) -> Tensor:
    if len(values) not in (1, x.shape[1]):
        raise InputError(
            f"expected inputs with {len(values)} channels, as the encoding has, got {x.shape[1]}"
        )
    # The host need not wait for the copy, as torch would by default.
    found = torch.tensor(values, dtype=x.dtype).to(x.device, non_blocking=x.is_cuda)
    return found.view(1, -1, *[1] * (x.ndim - 2))
