"""Data sets: by embedded name, by Hub name, or from a local path.

Everything is read through Hugging Face `datasets`, except scikit-learn's embedded sets and
`.npz` files. A data set is held as raw arrays: images as bytes, feature vectors as floats.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.errors import InputError

DATA_VARIABLE = "SPARSECERT_DATA"
HUB_NAMES = {
    "mnist": "ylecun/mnist",
    "cifar10": "uoft-cs/cifar10",
    "imagenet": "ILSVRC/imagenet-1k",
}
_TEST_SPLITS = ("test", "validation", "valid", "val")
_LABEL_COLUMNS = ("label", "labels", "target", "class", "y")


@dataclass(frozen=True)
class Dataset:
    """Inputs and labels of one split.

    Attributes:
        name: what the user called it.
        split: "train" or "test".
        inputs: `(size, channels, height, width)` uint8 images, or floats in [0, 1] of that shape
            or of shape `(size, features)`.
        labels: `(size,)` int64 in 0..num_classes-1.
        class_names: one per class.
    """

    name: str
    split: str
    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: `(channels, height, width)` or `(features,)`."""
        return tuple(self.inputs.shape[1:])

    @property
    def num_features(self) -> int:
        """d: pixels of an image, or entries of a feature vector."""
        return int(np.prod(self.input_shape[-2:]))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def batch(self, indices: NDArray[np.int64] | list[int]) -> Tensor:
        """Inputs at these indices as floats in [0, 1]."""
        rows = torch.from_numpy(np.ascontiguousarray(self.inputs[indices]))
        return rows.float() / 255 if rows.dtype == torch.uint8 else rows.float()

    def fingerprint(self) -> str:
        """A short hash of inputs and labels."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.labels):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def load(name: str, split: str) -> Dataset:
    """Load a split of a data set.

    Args:
        name: `digits` or `breast-cancer` (inside scikit-learn); a folder or file that Hugging
            Face `datasets` can load (Parquet folder, image folder), or an `.npz`; a folder's name
            inside `$SPARSECERT_DATA`; or a Hub name such as `mnist` or `user/name`.
        split: "train" or "test"; a data set without a test split gives its validation split.

    Raises:
        InputError: if it is not found, or is not labelled data in a known shape.
    """
    if split not in ("train", "test"):
        raise InputError(f"expected split to be 'train' or 'test', got {split!r}")
    if name in _EMBEDDED:
        return _EMBEDDED[name](name, split)
    path = _local_path(name)
    if path is None:
        return _from_hub(name, split)
    if path.suffix == ".npz":
        return _from_npz(name, path, split)
    return _from_folder(name, path, split)


def evenly_spread(size: int, limit: int | None) -> NDArray[np.int64]:
    """`limit` indices spread evenly over 0..size-1; all of them without a limit."""
    if limit is None or limit >= size:
        return np.arange(size)
    if limit < 1:
        raise InputError(f"expected limit to be at least 1, got {limit}")
    return np.arange(limit) * size // limit


def _local_path(name: str) -> Path | None:
    root = os.environ.get(DATA_VARIABLE)
    candidates = [Path(root) / name] if root else []
    candidates.append(Path(name).expanduser())
    return next((path for path in candidates if path.exists()), None)


def _digits(name: str, split: str) -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images[:, None] / 16).astype(np.float32)
    rows = _split_rows(bunch.target, split)
    return _checked(name, split, images[rows], bunch.target[rows], map(str, bunch.target_names))


def _breast_cancer(name: str, split: str) -> Dataset:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    train = _split_rows(bunch.target, "train")
    scaled = _scaled(bunch.data, bunch.data[train])
    rows = _split_rows(bunch.target, split)
    return _checked(name, split, scaled[rows], bunch.target[rows], map(str, bunch.target_names))


_EMBEDDED: dict[str, Callable[[str, str], Dataset]] = {
    "digits": _digits,
    "breast-cancer": _breast_cancer,
}


def _split_rows(labels: NDArray[np.int64], split: str) -> NDArray[np.int64]:
    """A fixed stratified split of an embedded data set: three quarters to train on."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(labels)), test_size=0.25, random_state=0, stratify=labels
    )
    return np.sort(train if split == "train" else test)


def _scaled(features: NDArray[Any], train: NDArray[Any]) -> NDArray[np.float32]:
    """Each feature on its own mapped to [0, 1] by the training split's range, and clipped.

    What is done feature by feature keeps the number of changed features.
    """
    low, high = train.min(axis=0), train.max(axis=0)
    width = np.where(high > low, high - low, 1)
    return np.clip((features - low) / width, 0, 1).astype(np.float32)


def _from_npz(name: str, path: Path, split: str) -> Dataset:
    with np.load(path, allow_pickle=False) as file:
        keys = (f"x_{split}", f"y_{split}")
        missing = [key for key in keys if key not in file]
        if missing:
            raise InputError(
                f"{path} has no array {' or '.join(missing)}; expected x_train, y_train, x_test "
                f"and y_test, found {', '.join(file.files) or 'nothing'}"
            )
        inputs, labels = (file[key] for key in keys)
        train_inputs = file["x_train"] if "x_train" in file else None
        train_labels = file["y_train"] if "y_train" in file else labels
    if inputs.ndim == 2:
        if inputs.dtype != np.uint8 and (inputs.min() < 0 or inputs.max() > 1):
            if train_inputs is None:
                raise InputError(f"{path} needs x_train: its range scales the features to [0, 1]")
            inputs = _scaled(inputs, train_inputs)
    elif inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.ndim == 4 and inputs.shape[-1] in (1, 3):
        inputs = inputs.transpose(0, 3, 1, 2)
    num_classes = int(max(train_labels.max(), labels.max())) + 1 if labels.size else 0
    return _checked(name, split, inputs, labels, map(str, range(num_classes)))


def _from_folder(name: str, path: Path, split: str) -> Dataset:
    import datasets

    datasets.disable_progress_bars()
    try:
        if path.is_file():
            loaded = datasets.load_dataset(path.suffix[1:], data_files=str(path))
        else:
            loaded = datasets.load_dataset(str(path))
    except Exception as error:  # `datasets` raises many kinds for files it cannot read
        raise InputError(
            f"Hugging Face datasets cannot load {path}: {error}. Expected a folder of Parquet "
            "files named train-... and test-..., an image folder with one subfolder per class, "
            "a single data file, or an .npz"
        ) from error
    return _from_columns(name, split, loaded)


def _from_hub(name: str, split: str) -> Dataset:
    import datasets

    datasets.disable_progress_bars()
    hub_name = HUB_NAMES.get(name, name)
    root = os.environ.get(DATA_VARIABLE)
    looked = f"in ${DATA_VARIABLE} ({root})" if root else f"in ${DATA_VARIABLE} (not set)"
    try:
        loaded = datasets.load_dataset(hub_name)
    except Exception as error:  # no network, no such name, no access: one way out for the user
        raise InputError(
            f"data set {name!r} not found: looked {looked}, for a local path {Path(name)}, and on "
            f"the Hugging Face Hub as {hub_name!r} ({type(error).__name__}). Use digits or "
            f"breast-cancer, which need no download; set {DATA_VARIABLE} to a folder that holds "
            f"{name}/; or give the path of a Parquet folder, an image folder or an .npz"
        ) from error
    return _from_columns(name, split, loaded)


def _from_columns(name: str, split: str, loaded: Any) -> Dataset:
    """A split of a `datasets.DatasetDict`: an image column, or numeric columns as features."""
    import datasets

    wanted = ("train",) if split == "train" else _TEST_SPLITS
    key = next((key for key in wanted if key in loaded), None)
    if key is None:
        raise InputError(
            f"data set {name!r} has no {split} split; expected {' or '.join(wanted)}, "
            f"found {', '.join(loaded)}"
        )
    table = loaded[key]
    label_column = next((column for column in _LABEL_COLUMNS if column in table.features), None)
    if label_column is None:
        raise InputError(
            f"data set {name!r} has no label column; expected one of {', '.join(_LABEL_COLUMNS)}, "
            f"found {', '.join(table.features)}"
        )
    label_feature = table.features[label_column]
    labels = np.asarray(table[label_column])
    if isinstance(label_feature, datasets.ClassLabel):
        class_names = list(label_feature.names)
    elif np.issubdtype(labels.dtype, np.integer):
        class_names = [str(i) for i in range(int(labels.max()) + 1)]
    else:
        class_names = sorted(set(map(str, loaded[next(iter(loaded))][label_column])))
        labels = np.searchsorted(class_names, labels.astype(str))
    image_column = next(
        (c for c, feature in table.features.items() if isinstance(feature, datasets.Image)), None
    )
    if image_column is not None:
        return _checked(name, split, _stacked(name, table[image_column]), labels, class_names)
    columns = [
        column
        for column, feature in table.features.items()
        if column != label_column
        and isinstance(feature, datasets.Value)
        and feature.dtype.startswith(("int", "uint", "float", "bool"))
    ]
    if not columns:
        raise InputError(f"data set {name!r} has neither an image column nor numeric columns")
    if "train" not in loaded:
        raise InputError(f"data set {name!r} needs a train split: its range scales the features")
    features, train = (
        np.stack([np.asarray(part[column], dtype=float) for column in columns], axis=1)
        for part in (table, loaded["train"])
    )
    return _checked(name, split, _scaled(features, train), labels, class_names)


def _stacked(name: str, images: Any) -> NDArray[np.uint8]:
    """PIL images as one `(size, channels, height, width)` array."""
    arrays = []
    for image in images:
        converted = image if image.mode in ("L", "RGB") else image.convert("RGB")
        array = np.asarray(converted)
        arrays.append(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        raise InputError(
            f"expected the images of {name!r} to have one shape, found {len(shapes)}, such as "
            f"{sorted(shapes)[:3]} (channels, height, width); resize them first"
        )
    return np.stack(arrays)


def _checked(name: str, split: str, inputs: Any, labels: Any, class_names: Any) -> Dataset:
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
        inputs = np.asarray(inputs, dtype=np.float32)
        if not np.isfinite(inputs).all():
            raise InputError(f"expected finite inputs in {name!r}, found NaN or infinity")
        if inputs.min() < 0 or inputs.max() > 1:
            raise InputError(
                f"expected the inputs of {name!r} in [0, 1] (or bytes), "
                f"got values from {inputs.min():g} to {inputs.max():g}; divide or rescale them"
            )
    return Dataset(name, split, inputs, labels.astype(np.int64), names)
