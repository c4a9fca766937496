"""Networks as the paper's authors published them: parameters by their names, and what they compute.

Written after their repository's definitions, not with our networks, which they are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Residual:
    """A residual network of theirs.

    Attributes:
        depths: blocks per stage.
        bottleneck: blocks of three convolutions.
        large: the one for ImageNet, whose stem, projections and last layer are others.
        channels: of the encoded images.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    bottleneck: bool = False
    large: bool = False
    channels: int = 6

    @property
    def projection(self) -> str:
        return "downsample" if self.large else "shortcut"

    @property
    def last(self) -> str:
        return "fc" if self.large else "linear"

    def parameters(self, num_classes: int, seed: int = 0) -> dict[str, Tensor]:
        """Random ones, those of batch normalisation too."""
        draw = torch.Generator().manual_seed(seed)
        found: dict[str, Tensor] = {}

        def convolution(name: str, norm: str, inputs: int, outputs: int, size: int) -> None:
            scale = (2 / (inputs * size**2)) ** 0.5
            found[f"{name}.weight"] = scale * torch.randn(
                outputs, inputs, size, size, generator=draw
            )
            for part in ("weight", "running_var"):
                found[f"{norm}.{part}"] = 0.5 + torch.rand(outputs, generator=draw)
            for part in ("bias", "running_mean"):
                found[f"{norm}.{part}"] = 0.3 * torch.randn(outputs, generator=draw)
            found[f"{norm}.num_batches_tracked"] = torch.tensor(7)

        convolution("conv1", "bn1", self.channels, 64, 7 if self.large else 3)
        inputs = 64
        for stage, depth in enumerate(self.depths):
            width = 64 * 2**stage
            outputs = 4 * width if self.bottleneck else width
            for block in range(depth):
                here = f"layer{stage + 1}.{block}"
                if self.bottleneck:
                    convolution(f"{here}.conv1", f"{here}.bn1", inputs, width, 1)
                    convolution(f"{here}.conv2", f"{here}.bn2", width, width, 3)
                    convolution(f"{here}.conv3", f"{here}.bn3", width, outputs, 1)
                else:
                    convolution(f"{here}.conv1", f"{here}.bn1", inputs, width, 3)
                    convolution(f"{here}.conv2", f"{here}.bn2", width, width, 3)
                if block == 0 and (stage > 0 or inputs != outputs):
                    projection = f"{here}.{self.projection}"
                    convolution(f"{projection}.0", f"{projection}.1", inputs, outputs, 1)
                inputs = outputs
        found[f"{self.last}.weight"] = torch.randn(num_classes, inputs, generator=draw) / 10
        found[f"{self.last}.bias"] = torch.randn(num_classes, generator=draw)
        return found

    def logits(self, found: dict[str, Tensor], x: Tensor) -> Tensor:
        """In evaluation mode, of encoded images."""

        def normalised(x: Tensor, name: str) -> Tensor:
            mean, variance, weight, bias = (
                found[f"{name}.{part}"][:, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

        def convolved(x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
            weight = found[f"{name}.weight"]
            padding = weight.shape[-1] // 2
            return normalised(functional.conv2d(x, weight, None, stride, padding), norm)

        x = functional.relu(convolved(x, "conv1", "bn1", 2 if self.large else 1))
        if self.large:
            x = functional.max_pool2d(x, 3, 2, 1)
        strided = 2 if self.bottleneck else 1  # the convolution that has the stride
        for stage, depth in enumerate(self.depths):
            for block in range(depth):
                here = f"layer{stage + 1}.{block}"
                stride = 2 if stage > 0 and block == 0 else 1
                inner = x
                for place in (1, 2, 3) if self.bottleneck else (1, 2):
                    inner = functional.relu(inner) if place > 1 else inner
                    inner = convolved(
                        inner, f"{here}.conv{place}", f"{here}.bn{place}",
                        stride if place == strided else 1,
                    )  # fmt: skip
                projection = f"{here}.{self.projection}"
                if f"{projection}.0.weight" in found:
                    x = convolved(x, f"{projection}.0", f"{projection}.1", stride)
                x = functional.relu(inner + x)
        x = x.mean(dim=(2, 3)) if self.large else functional.avg_pool2d(x, 4).flatten(1)
        return functional.linear(x, found[f"{self.last}.weight"], found[f"{self.last}.bias"])


@dataclass(frozen=True)
class Digits:
    """Their network for MNIST.

    Attributes:
        channels: of the encoded images.
    """

    channels: int = 2

    def parameters(self, num_classes: int = 10, seed: int = 0) -> dict[str, Tensor]:
        """Random ones."""
        draw = torch.Generator().manual_seed(seed)
        shapes = {
            "0": (64, self.channels, 4, 4),
            "2": (128, 64, 4, 4),
            "5": (500, 128 * 7 * 7),
            "7": (100, 500),
            "9": (num_classes, 100),
        }
        found = {}
        for place, shape in shapes.items():
            inputs = int(np.prod(shape[1:]))
            found[f"{place}.weight"] = torch.randn(*shape, generator=draw) / inputs**0.5
            found[f"{place}.bias"] = torch.randn(shape[0], generator=draw) / 10
        return found

    def logits(self, found: dict[str, Tensor], x: Tensor) -> Tensor:
        """Of encoded images."""
        for place in ("0", "2"):
            weight, bias = found[f"{place}.weight"], found[f"{place}.bias"]
            x = functional.relu(functional.conv2d(x, weight, bias, 2, 1))
        x = x.reshape(len(x), -1)
        for place in ("5", "7"):
            x = functional.relu(x @ found[f"{place}.weight"].T + found[f"{place}.bias"])
        return x @ found["9.weight"].T + found["9.bias"]


def save(path: Path, found: dict[str, Tensor], *, packed: bool = False, **others: Any) -> Path:
    """As their scripts do, with torch 1.2 on GPUs; `packed` as torch from 1.6 on does."""
    net = {f"module.{name}": value for name, value in found.items()}
    content = {"net": net, "acc": 93.1, "epoch": 399} | others
    torch.save(content, path, _use_new_zipfile_serialization=packed)
    return path


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """Their two-channel encoding: values and complements where a pixel is kept, zeros elsewhere."""
    values, complements = torch.zeros_like(x), torch.zeros_like(x)
    for image, kept in enumerate(mask):
        rows, columns = np.unravel_index(np.flatnonzero(kept), x.shape[2:])
        values[image, :, rows, columns] = x[image, :, rows, columns]
        complements[image, :, rows, columns] = 1.0 - x[image, :, rows, columns]
    return torch.cat((values, complements), 1)


def masked_by_mean(x: Tensor, mask: Tensor, mean: tuple[float, ...]) -> Tensor:
    """Their other encoding: the mean where a pixel is not kept."""
    shown = torch.tensor(mean).reshape(1, -1, 1, 1).expand_as(x).clone()
    for image, kept in enumerate(mask):
        rows, columns = np.unravel_index(np.flatnonzero(kept), x.shape[2:])
        shown[image, :, rows, columns] = x[image, :, rows, columns]
    return shown
