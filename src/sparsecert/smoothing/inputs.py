"""Inputs as they come from users, and as training loops of their own need them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecert.designs.design import Drawn, Units
from sparsecert.errors import InputError
from sparsecert.smoothing.encoding import Encoding, check_encoding, resolve_encoding
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples


def ablate(
    x: Tensor,
    ablation: Drawn,
    encoding: str | Encoding = "two-channel",
    *,
    seed: int | None = None,
) -> Tensor:
    """Ablate and encode a batch for training: each input is seen through a retained set of its own.

    Args:
        x: `(batch, channels, height, width)` images, whose features are pixels, or
            `(batch, features)` vectors, with values in [0, 1], on any device.
        ablation: as the smoothed classifier will have it, such as a `UniformAblation`; of a fixed
            family each input gets a set at random.
        encoding: "two-channel", or an `Encoding` such as `MeanEncoding(mean)`.
        seed: names the retained sets. By default torch's random generator chooses it, so that
            `torch.manual_seed` repeats it and every worker of a `DataLoader` draws its own.

    Returns:
        What the base classifier is to be trained on: `(batch, 2 channels, height, width)` or
        `(batch, 2 features)` where the encoding is "two-channel".

    Raises:
        InputError: for inputs of the wrong type, shape or range, or an unknown encoding.
    """
    check_inputs(x, ablation)
    shown = resolve_encoding(encoding)
    check_encoding(shown, ablation)
    if seed is None:
        seed = int(torch.randint(2**63 - 1, ()))
    if not len(x):
        entries = ablation.features_of(tuple(x.shape[1:]))
        return shown(x, torch.ones(0, entries, dtype=torch.bool, device=x.device))
    mask = ablation.draw(samples(seed, Stage.TRAINING_MASKS, 0, len(x)))
    return shown(x, torch.from_numpy(mask).to(x.device))


@dataclass(frozen=True)
class Ablate:
    """`ablate` for one input at a time, as the transforms of data sets are called.

    Attributes:
        ablation: as of `ablate`.
        encoding: as of `ablate`.
    """

    ablation: Drawn
    encoding: str | Encoding = "two-channel"

    def __call__(self, x: Tensor) -> Tensor:
        """`(channels, height, width)` or `(features,)`, encoded on a new retained set."""
        return ablate(x[None], self.ablation, self.encoding)[0]


def check_inputs(x: Tensor, units: Units) -> None:
    """Raise `InputError` for inputs of the wrong type, shape or range."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = str(x.dtype) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(
            f"expected a floating-point tensor with values in [0, 1], got {found}; "
            "convert bytes with x.float() / 255"
        )
    if x.layout is not torch.strided:
        raise InputError(f"expected a dense tensor, got {x.layout}; x.to_dense() makes one")
    if x.ndim not in (2, 4):
        raise InputError(
            "expected images of shape (batch, channels, height, width) or vectors of shape "
            f"(batch, features), got {tuple(x.shape)}"
        )
    features = units.features_of(tuple(x.shape[1:]))
    d = units.num_entries
    if features != d:
        kind = "pixels" if x.ndim == 4 else "features"
        raise InputError(
            f"expected inputs with {d} {kind}, as the ablation has, got {features} "
            f"(shape {tuple(x.shape)})"
        )
    known = x = x.detach()
    if x.numel() and x.aminmax().min.isnan():  # one look at each number, where none is missing
        if x.ndim == 4:
            raise InputError("expected finite pixels, found NaN")
        known = x[~x.isnan()]
    if not known.numel():
        return
    low, high = (float(end) for end in known.aminmax())
    if low < 0 or high > 1:
        raise InputError(
            f"expected values in [0, 1], got {low:g} to {high:g}; rescale the inputs as in training"
        )
