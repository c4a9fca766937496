"""Base classifiers. Their names are here, so that `--help` need not wait for torch."""

from __future__ import annotations

from typing import Literal

Architecture = Literal[
    "interpolating-cnn",
    "small-interpolating-cnn",
    "dense-interpolating-cnn",
    "interpolating-resnet",
    "wide-interpolating-resnet",
    "deep-interpolating-resnet",
    "mirrored-wide-interpolating-resnet",
    "paper-cnn",
    "resnet18",
    "resnet50",
    "mlp",
    "subset-ensemble",
    "band-network",
]

# Of them, those whose weights the paper's authors published.
PublishedArchitecture = Literal["paper-cnn", "resnet18", "resnet50"]
