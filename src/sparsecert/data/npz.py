"""Data sets in NumPy's `.npz` files, with Keras's names for the arrays."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sparsecert.data.dataset import (
    Dataset,
    FeatureRange,
    checked_dataset,
    numbered_classes,
    scale_features,
)
from sparsecert.errors import InputError

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(name: str, path: Path, split: str, known: FeatureRange | None) -> Dataset:
    """A split of a file with the arrays x_train, y_train, x_test and y_test.

    Inputs are (size, height, width) or (size, height, width, channels) images, as bytes or in
    [0, 1], or (size, features) vectors, which are scaled to [0, 1] by the training split's range.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {array: file[array] for array in file.files}
    except (OSError, ValueError, TypeError, AttributeError, BadZipFile, MemoryError) as error:
        raise InputError(
            f"{path} is not an .npz of plain arrays ({error}); write it with numpy.savez"
        ) from error
    missing = [array for array in _ARRAYS if array not in arrays]
    if missing:
        raise InputError(
            f"expected the arrays {', '.join(_ARRAYS)} in {path}, "
            f"found {', '.join(arrays) or 'nothing'}"
        )
    inputs, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    for array, values in arrays.items():
        if array in _ARRAYS and (values.ndim == 0 or values.dtype.kind not in "biuf"):
            raise InputError(
                f"expected {array} in {path} as an array of numbers, "
                f"got shape {values.shape} of {values.dtype}"
            )
    ends = None
    if inputs.ndim == 2:
        inputs, ends = scale_features(name, inputs, arrays["x_train"], known)
    elif inputs.ndim == 3:
        inputs = inputs[:, None]
    elif inputs.ndim == 4 and inputs.shape[-1] in (1, 3):
        inputs = inputs.transpose(0, 3, 1, 2)
    else:
        raise InputError(
            f"expected x_{split} in {path} as (size, features), (size, height, width) or (size, "
            f"height, width, channels) with 1 or 3 channels, got shape {inputs.shape}"
        )
    trained = arrays["y_train"]
    # Labels that are no integers are refused below.
    names = numbered_classes(name, trained) if trained.dtype.kind in "iu" else []
    return checked_dataset(name, split, inputs, labels, names, ends)
