"""One split of a data set, held as raw arrays, and the checks it must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.data.encoded_images import EncodedImages
from sparsecert.errors import InputError

MOST_CLASSES = 2**16


@dataclass(frozen=True)
class FeatureRange:
    """How feature vectors were scaled: each feature's smallest and largest training value.

    Attributes:
        low: the smallest.
        high: the largest.
        names: of the features, where the data set has them.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...] | None = None


class MissingSplitError(InputError):
    """A data set has no split of that name."""


@dataclass(frozen=True)
class Dataset:
    """Inputs and labels of one split.

    Attributes:
        name: what the user called it.
        split: "train" or "test".
        inputs: `(size, channels, height, width)` uint8 images (large ones are decoded when
            indexed), or floats in [0, 1] of that shape or of shape `(size, features)`, where NaN
            is a missing feature.
        labels: `(size,)` int64 in 0..num_classes-1.
        class_names: one per class.
        feature_range: how feature vectors were scaled to [0, 1]; None for images.
    """

    name: str
    split: str
    inputs: Any  # an array, or EncodedImages, which has its shape, type and indexing
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    feature_range: FeatureRange | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: `(channels, height, width)` or `(features,)`."""
        return tuple(self.inputs.shape[1:])

    @property
    def is_large(self) -> bool:
        """Whether images are decoded when needed."""
        return isinstance(self.inputs, EncodedImages)

    @property
    def num_features(self) -> int:
        """d: pixels of an image, or entries of a feature vector."""
        return int(np.prod(self.input_shape[-2:]))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def batch(self, indices: NDArray[np.int64] | Sequence[int]) -> Tensor:
        """Inputs at these indices as floats in [0, 1]."""
        return _as_shares(self.inputs[np.asarray(indices)])

    def random_crops(self, indices: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Random parts of large images at these indices, for training; see `EncodedImages`.

        Raises:
            InputError: for images that are not large.
        """
        if not self.is_large:
            raise InputError(
                f"expected large images to cut random parts from, got {self.name!r} with inputs "
                f"of shape {self.input_shape}"
            )
        crops: NDArray[np.uint8] = self.inputs.random_crops(indices, generator)
        return _as_shares(crops)

    def without(self, rows: NDArray[np.int64]) -> Dataset:
        """All other examples.

        Raises:
            InputError: for large images, which are not copied.
        """
        if not len(rows):
            return self
        if self.is_large:
            raise InputError(
                f"expected no held-out examples of {self.name!r}, whose images are large; train "
                "on a folder without them"
            )
        kept = np.delete(np.arange(len(self)), rows)
        return replace(self, inputs=self.inputs[kept], labels=self.labels[kept])

    def fingerprint(self) -> str:
        """A short hash of inputs and labels."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for array in (self.inputs, self.labels):
            digest.update(f"{array.dtype}{array.shape}".encode())
            if isinstance(array, EncodedImages):
                digest.update(array.fingerprint)
            else:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def numbered_classes(name: str, labels: NDArray[np.integer]) -> list[str]:
    """Names of the classes 0, 1, ... up to the largest label of a training split.

    Raises:
        InputError: for more classes than any data set has: labels with gaps are no numbers from 0.
    """
    most = int(labels.max()) if labels.size else -1
    if most >= MOST_CLASSES:
        raise InputError(
            f"expected the labels of {name!r} as 0, 1, ... for each class, at most {MOST_CLASSES} "
            f"classes, got the label {most}; number the classes first, as by "
            "numpy.unique(labels, return_inverse=True)"
        )
    return [str(label) for label in range(most + 1)]


def checked_dataset(
    name: str,
    split: str,
    inputs: Any,
    labels: Any,
    class_names: Iterable[str],
    feature_range: FeatureRange | None = None,
) -> Dataset:
    """A data set of these arrays; raises `InputError` if they are not what `Dataset` says."""
    names = tuple(class_names)
    labels = np.asarray(labels).reshape(-1)
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"expected the labels of {name!r} to be integers, got {labels.dtype}")
    if len(inputs) != len(labels) or len(labels) == 0:
        raise InputError(
            f"expected as many inputs as labels in {name!r}, and at least one, "
            f"got {len(inputs)} and {len(labels)}"
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise InputError(
            f"expected the labels of {name!r} in 0..{len(names) - 1}, "
            f"got values from {labels.min()} to {labels.max()}"
        )
    if len(names) < 2:
        raise InputError(f"expected at least 2 classes in {name!r}, got {len(names)}")
    if inputs.ndim not in (2, 4):
        raise InputError(
            f"expected the inputs of {name!r} as (size, channels, height, width) or "
            f"(size, features), got shape {inputs.shape}"
        )
    if inputs.dtype != np.uint8:
        if not np.issubdtype(inputs.dtype, np.floating):
            raise InputError(
                f"expected the inputs of {name!r} as bytes or floats, got {inputs.dtype}"
            )
        inputs = np.asarray(inputs, dtype=np.float32)
        known = inputs[~np.isnan(inputs)]
        if inputs.ndim == 4 and known.size < inputs.size:
            raise InputError(f"expected finite images in {name!r}, found NaN")
        if known.size and (known.min() < 0 or known.max() > 1):
            raise InputError(
                f"expected the inputs of {name!r} in [0, 1] (or bytes), "
                f"got values from {known.min():g} to {known.max():g}; divide or rescale them"
            )
    return Dataset(name, split, inputs, labels.astype(np.int64), names, feature_range)


def _as_shares(inputs: NDArray[Any]) -> Tensor:
    """Inputs as floats in [0, 1]."""
    rows = torch.from_numpy(np.ascontiguousarray(inputs))
    return rows.float() / 255 if rows.dtype == torch.uint8 else rows.float()


def scale_features(
    name: str,
    features: NDArray[Any],
    train: NDArray[Any],
    known: FeatureRange | None,
    names: tuple[str, ...] | None = None,
) -> tuple[NDArray[np.float32], FeatureRange]:
    """Each feature on its own mapped to [0, 1] by the training range, and clipped.

    What is done feature by feature keeps the number of changed features. A missing feature, NaN,
    stays missing.

    Args:
        name: of the data set, for messages.
        features: `(size, features)` numbers.
        train: `(train_size, features)` numbers, whose range is used unless one is known.
        known: the range a model was trained with.
        names: of the features.

    Returns:
        The scaled features and the range.
    """
    if features.ndim != 2 or features.shape[1:] != train.shape[1:] or not train.size:
        raise InputError(
            f"expected feature vectors of one length in both splits of {name!r}, "
            f"got arrays of shape {features.shape} and {train.shape} (training)"
        )
    for array in (features, train):
        if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
            raise InputError(f"expected the features of {name!r} as numbers, got {array.dtype}")
        if np.isinf(array).any():
            raise InputError(f"expected finite inputs in {name!r}, found infinity")
    ends = known or replace(_feature_range(train), names=names)
    if len(ends.low) != features.shape[1]:
        raise InputError(
            f"expected {len(ends.low)} features, as the model was trained on, "
            f"got {features.shape[1]} from {name!r}"
        )
    low, high = np.array(ends.low), np.array(ends.high)
    width = np.where(high > low, high - low, 1)
    return np.clip((features - low) / width, 0, 1).astype(np.float32), ends


def _feature_range(train: NDArray[Any]) -> FeatureRange:
    """The smallest and largest known value of each feature; 0 and 1 where none is known."""
    train = train.astype(np.float64)
    known = ~np.isnan(train)
    unknown = ~known.any(axis=0)
    low = train.min(axis=0, initial=np.inf, where=known)
    high = train.max(axis=0, initial=-np.inf, where=known)
    return FeatureRange(
        tuple(np.where(unknown, 0.0, low).tolist()), tuple(np.where(unknown, 1.0, high).tolist())
    )
