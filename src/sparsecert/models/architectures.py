"""Base classifiers that a run folder can rebuild by name.

A `SmoothedClassifier` takes any `nn.Module`; these are the ones the commands know. A builder gets
the shape of one encoded input and the number of classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from sparsecert.errors import InputError
from sparsecert.models import Architecture
from sparsecert.models.band_network import BandNetwork
from sparsecert.models.interpolating_cnn import InterpolatingCNN
from sparsecert.models.interpolating_resnet import InterpolatingResNet
from sparsecert.models.interpolation import Interpolation
from sparsecert.models.mirrored import Mirrored
from sparsecert.models.mlp import MLP
from sparsecert.models.paper_cnn import PaperCNN
from sparsecert.models.resnet import ResNet
from sparsecert.models.subset_ensemble import SubsetEnsemble

__all__ = [
    "ARCHITECTURES",
    "BAND_NETWORK",
    "GROWN_FROM",
    "MLP",
    "SUBSET_ENSEMBLE",
    "BandNetwork",
    "InterpolatingCNN",
    "InterpolatingResNet",
    "Interpolation",
    "Mirrored",
    "PaperCNN",
    "ResNet",
    "SubsetEnsemble",
    "begin_with",
    "build",
    "default_architecture",
]

# Not among the others: they take the sets too.
SUBSET_ENSEMBLE: Architecture = "subset-ensemble"
BAND_NETWORK: Architecture = "band-network"
# Networks that may begin with the weights of another one, which is a part of them.
GROWN_FROM: dict[str, str] = {
    "deep-interpolating-resnet": "wide-interpolating-resnet",
    "mirrored-wide-interpolating-resnet": "wide-interpolating-resnet",
}
_LARGE_STEM_SIDE = 64  # from here on residual networks have the stem for large images


def build(architecture: str, encoded_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A freshly initialised network by name.

    Args:
        architecture: a key of `ARCHITECTURES`.
        encoded_shape: shape of one encoded input, without the batch.
        num_classes: number of classes.

    Raises:
        InputError: for an unknown name or a shape the network does not take.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"expected the architecture to be one of {', '.join(ARCHITECTURES)}, "
            f"got {architecture!r}"
        )
    return ARCHITECTURES[architecture](encoded_shape, num_classes)


def default_architecture(input_shape: tuple[int, ...], encoding: str, recipe: str) -> str:
    """The network the commands choose for inputs of this shape."""
    # The interpolation needs to tell NULL from a pixel, which only the two-channel encoding does.
    if (encoding, recipe) == ("two-channel", "fast") and _interpolates(input_shape):
        return "interpolating-cnn" if input_shape[0] == 1 else "wide-interpolating-resnet"
    if input_shape[1:] == (28, 28):
        return "paper-cnn"
    if len(input_shape) == 3 and min(input_shape[1:]) >= _LARGE_STEM_SIDE:
        return "resnet50"
    colour = len(input_shape) == 3 and input_shape[0] == 3 and min(input_shape[1:]) >= 16
    return "resnet18" if colour else "mlp"


def begin_with(model: nn.Module, trained: nn.Module) -> None:
    """Give a network the weights of a trained one, of the same name or that it is `GROWN_FROM`."""
    if isinstance(model, Mirrored) and not isinstance(trained, Mirrored):
        begin_with(model.network, trained)
    elif isinstance(model, InterpolatingResNet) and isinstance(trained, InterpolatingResNet):
        model.grow_from(trained)
    else:
        model.load_state_dict(trained.state_dict())


def _interpolates(shape: tuple[int, ...]) -> bool:
    """Images large enough for a CNN, and small enough for the interpolation's matrix."""
    return len(shape) == 3 and all(16 <= side <= 64 and side % 4 == 0 for side in shape[1:])


def _paper_cnn(encoded_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    if encoded_shape[1:] != (28, 28):
        raise InputError(
            f"the paper's CNN takes 28 x 28 images, got encoded inputs of shape {encoded_shape}; "
            "choose --model mlp"
        )
    return PaperCNN(encoded_shape[0], num_classes)


def _interpolating(
    network: Callable[[int, int, int, int], nn.Module],
) -> Callable[[tuple[int, ...], int], nn.Module]:
    """A builder of networks that begin with an interpolation."""

    def build_interpolating(encoded_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        if not _interpolates(encoded_shape) or encoded_shape[0] % 2:
            raise InputError(
                "interpolating networks take two-channel encoded images with sides divisible by 4, "
                f"from 16 to 64, got encoded inputs of shape {encoded_shape}; choose --model mlp"
            )
        channels, height, width = encoded_shape
        return network(channels, height, width, num_classes)

    return build_interpolating


def _resnet(
    depths: tuple[int, ...], *, bottleneck: bool
) -> Callable[[tuple[int, ...], int], nn.Module]:
    """A builder of residual networks whose stem is that for the size of the images."""

    def build_resnet(encoded_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        if len(encoded_shape) != 3 or min(encoded_shape[1:]) < 16:
            raise InputError(
                "residual networks take images of 16 pixels a side or more, got encoded inputs of "
                f"shape {encoded_shape}; choose --model mlp"
            )
        large = min(encoded_shape[1:]) >= _LARGE_STEM_SIDE
        return ResNet(
            encoded_shape[0], num_classes, depths, bottleneck=bottleneck, large_images=large
        )

    return build_resnet


def _mlp(encoded_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return MLP(math.prod(encoded_shape), num_classes)


_wide = _interpolating(partial(InterpolatingResNet, widths=(96, 192, 384), pooling="maximum"))
ARCHITECTURES: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "interpolating-cnn": _interpolating(InterpolatingCNN),
    "small-interpolating-cnn": _interpolating(partial(InterpolatingCNN, channels=32)),
    "dense-interpolating-cnn": _interpolating(
        partial(InterpolatingCNN, channels=32, hidden=(512, 512))
    ),
    "interpolating-resnet": _interpolating(InterpolatingResNet),
    "wide-interpolating-resnet": _wide,
    "deep-interpolating-resnet": _interpolating(
        partial(InterpolatingResNet, widths=(96, 192, 384), depths=(1, 2, 2), pooling="maximum")
    ),
    "mirrored-wide-interpolating-resnet": lambda *shape_and_classes: Mirrored(
        _wide(*shape_and_classes)
    ),
    "paper-cnn": _paper_cnn,
    "resnet18": _resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
    "mlp": _mlp,
}
