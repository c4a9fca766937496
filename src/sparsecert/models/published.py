"""The networks that the paper's authors published, layer by layer as ours.

Theirs (github.com/alevine0/randomizedAblation) compute what ours of the same name compute: the
MNIST network is the same sequence of layers; the residual networks are those of
kuangliu/pytorch-cifar and of torchvision with a wider first layer, with the stride of a bottleneck
at its 3 x 3 convolution, as here. Only the names of the parameters differ. Their two-channel
encoding has the colours first and the complements after them, as ours has, so the first layer is
taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sparsecert.errors import InputError
from sparsecert.models import PublishedArchitecture

_DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
_PARALLEL = "module."  # which DataParallel puts before every name


def renamed(
    weights: Mapping[str, Tensor], architecture: PublishedArchitecture
) -> dict[str, Tensor]:
    """The parameters by our names.

    Args:
        weights: by the authors' names.
        architecture: of the network.

    Raises:
        InputError: for a layer that the network does not have.
    """
    weights = {name.removeprefix(_PARALLEL): value for name, value in weights.items()}
    if architecture == "paper-cnn":
        return weights
    layers = _residual_layers(_DEPTHS[architecture])
    ours = {}
    for name, value in weights.items():
        layer, _, parameter = name.rpartition(".")
        if layer not in layers:
            raise InputError(f"expected the layers of a {architecture}, got {name!r}")
        ours[f"{layers[layer]}.{parameter}"] = value
    return ours


def input_channels(weights: Mapping[str, Tensor], architecture: PublishedArchitecture) -> int:
    """Channels of the encoded images that a network takes.

    Args:
        weights: by our names.
        architecture: of the network.

    Raises:
        InputError: if it lacks the first layer.
    """
    name = "0.weight" if architecture == "paper-cnn" else "0.0.weight"
    if name not in weights or weights[name].ndim != 4:
        raise InputError(f"expected a {architecture}, which begins with a convolution, got none")
    return weights[name].shape[1]


def _residual_layers(depths: tuple[int, ...]) -> dict[str, str]:
    """Our names of a residual network's layers, by theirs."""
    # On CIFAR-10 they say shortcut and linear, on ImageNet downsample and fc.
    layers = {"conv1": "0.0", "bn1": "0.1", "linear": "4", "fc": "4"}
    for stage, depth in enumerate(depths):
        for block in range(depth):
            theirs, ours = f"layer{stage + 1}.{block}", f"1.{sum(depths[:stage]) + block}"
            for place in range(3):
                # Ours has a ReLU between two convolutions.
                layers[f"{theirs}.conv{place + 1}"] = f"{ours}.residual.{2 * place}.0"
                layers[f"{theirs}.bn{place + 1}"] = f"{ours}.residual.{2 * place}.1"
            for part in (0, 1):
                for word in ("shortcut", "downsample"):
                    layers[f"{theirs}.{word}.{part}"] = f"{ours}.shortcut.{part}"
    return layers
