"""Inputs without labels, such as a user has them: image files, tables, arrays."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.data.columns import shortened
from sparsecert.data.dataset import FeatureRange, scale_features
from sparsecert.data.encoded_images import SIDE, EncodedImages
from sparsecert.data.hub import stacked
from sparsecert.data.image_files import ImageFiles
from sparsecert.errors import InputError


def new_inputs(
    given: Any, input_shape: tuple[int, ...], feature_range: FeatureRange | None
) -> Tensor:
    """What a model was trained to take, made of new images or rows as training data was.

    Args:
        given: paths of image files, or of one CSV file with a line of names; a DataFrame; or an
            array of rows, or of images as bytes or in [0, 1], `(size, height, width)` or `(size,
            height, width, channels)`.
        input_shape: of the model's inputs, `(channels, height, width)` or `(features,)`.
        feature_range: by which its features were scaled.

    Returns:
        `(size, *input_shape)` floats in [0, 1]; NaN where a feature is missing.

    Raises:
        InputError: for what cannot be read, or has another shape.
    """
    inputs: NDArray[Any]
    is_table = len(input_shape) == 1
    if isinstance(given, str | Path):
        given = [given]
    if isinstance(given, Sequence) and given and all(isinstance(g, str | Path) for g in given):
        paths = [Path(path) for path in given]
        inputs = _read_rows(paths, feature_range) if is_table else _read_images(paths, input_shape)
    elif is_table:
        inputs = _rows(given, feature_range)
    else:
        inputs = _images(np.asarray(given))
    if is_table:
        inputs, _ = scale_features("the new rows", inputs, inputs, feature_range)
    if inputs.shape[1:] != input_shape:
        raise InputError(
            f"expected new inputs of shape {input_shape}, as the model was trained on, got "
            f"{inputs.shape[1:]}"
        )
    x = torch.from_numpy(np.ascontiguousarray(inputs))
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def _read_images(paths: list[Path], input_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    import datasets

    rows = [{"bytes": _content(path), "path": str(path)} for path in paths]
    kind = datasets.Features({"image": datasets.Image(decode=False)})
    files = ImageFiles(datasets.Dataset.from_dict({"image": rows}, features=kind), "image", None)
    if input_shape[1:] == (SIDE, SIDE):  # as large images are shown
        return EncodedImages(files)[np.arange(len(files))]
    return stacked("the new images", files)


def _read_rows(paths: list[Path], ends: FeatureRange | None) -> NDArray[np.float64]:
    if len(paths) != 1:
        raise InputError(f"expected one CSV file with a row for each input, got {len(paths)} files")
    text = _content(paths[0]).decode("utf-8-sig", errors="replace")
    names, *lines = [line for line in csv.reader(text.splitlines()) if line] or [[]]
    if not lines or any(len(line) != len(names) for line in lines):
        raise InputError(
            f"expected {paths[0]} as a CSV file: a line of names, and as many values in each line "
            "below it"
        )
    wanted = names if ends is None or ends.names is None else list(ends.names)
    places = _places(wanted, names)
    try:
        values = [[float(line[place] or "nan") for place in places] for line in lines]
    except ValueError as error:
        raise InputError(f"expected numbers as features in {paths[0]}: {error}") from error
    return np.array(values)


def _rows(given: Any, ends: FeatureRange | None) -> NDArray[np.float64]:
    columns = getattr(given, "columns", None)
    if columns is not None and ends is not None and ends.names is not None:  # a DataFrame
        _places(ends.names, [str(name) for name in columns])
        given = given[list(ends.names)]
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected rows of numbers: {error}") from error


def _images(given: NDArray[Any]) -> NDArray[Any]:
    """As data sets have them, channels first."""
    images = given[:, None] if given.ndim == 3 else given
    if images.ndim == 4 and given.ndim == 4:
        images = images.transpose(0, 3, 1, 2)
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"expected images as bytes or floats in [0, 1], got {images.dtype}")
    return images


def _places(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    if missing := [name for name in wanted if name not in names]:
        raise InputError(
            f"expected columns with the names of the model's features, got none called "
            f"{shortened(missing)}"
        )
    return [names.index(name) for name in wanted]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
