"""Data sets that ship inside scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sparsecert.data.dataset import Dataset, FeatureRange, checked_dataset, scale_features


def _digits(name: str, split: str, known: FeatureRange | None) -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images[:, None] / 16).astype(np.float32)
    rows = _split_rows(bunch.target, split)
    return checked_dataset(
        name, split, images[rows], bunch.target[rows], map(str, bunch.target_names)
    )


def _breast_cancer(name: str, split: str, known: FeatureRange | None) -> Dataset:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    train = _split_rows(bunch.target, "train")
    features = tuple(map(str, bunch.feature_names))
    scaled, ends = scale_features(name, bunch.data, bunch.data[train], known, features)
    rows = _split_rows(bunch.target, split)
    names = map(str, bunch.target_names)
    return checked_dataset(name, split, scaled[rows], bunch.target[rows], names, ends)


EMBEDDED: dict[str, Callable[[str, str, FeatureRange | None], Dataset]] = {
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
