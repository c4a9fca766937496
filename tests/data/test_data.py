from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sparsecert import data
from sparsecert.errors import InputError

MNIST = Path(os.environ.get(data.DATA_VARIABLE) or "no data folder") / "mnist"


pytestmark = pytest.mark.usefixtures("own_cache")


def pixels(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def write_npz(path: Path, **changed: Any) -> str:
    """A valid file of ten training and four test vectors, up to what is changed."""
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.random((10, 3)),
        "y_train": np.arange(10) % 3,
        "x_test": generator.random((4, 3)),
        "y_test": np.arange(4) % 3,
    } | changed
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def write_parquet(folder: Path, splits: Mapping[str, Mapping[str, Any]], **features: Any) -> str:
    folder.mkdir()
    for split, columns in splits.items():
        table = datasets.Dataset.from_dict(
            dict(columns), features=datasets.Features(features) if features else None
        )
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return str(folder)


# Embedded data sets


@pytest.mark.parametrize(
    ("name", "shape", "sizes", "classes"),
    [("digits", (1, 8, 8), (1347, 450), 10), ("breast-cancer", (30,), (426, 143), 2)],
)
def test_embedded_data_sets(
    name: str, shape: tuple[int, ...], sizes: tuple[int, int], classes: int
) -> None:
    for split, size in zip(("train", "test"), sizes, strict=True):
        part = data.load(name, split)
        assert (len(part), part.input_shape, part.num_classes) == (size, shape, classes)
        assert part.num_features == (64 if name == "digits" else 30)
        assert part.inputs.shape == (size, *shape)
        assert set(part.labels.tolist()) == set(range(classes))
        batch = part.batch([0, size - 1])
        assert batch.shape == (2, *shape)
        assert 0 <= part.inputs.min() < part.inputs.max() <= 1


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_no_example_is_in_both_splits_and_none_is_lost(name: str) -> None:
    from sklearn.datasets import load_breast_cancer, load_digits

    bunch = load_digits() if name == "digits" else load_breast_cancer()
    train, test = data.load(name, "train"), data.load(name, "test")
    seen = {row.tobytes() for row in train.inputs}
    assert not seen & {row.tobytes() for row in test.inputs}
    together = np.concatenate([train.labels, test.labels])
    assert np.array_equal(np.bincount(together), np.bincount(bunch.target))


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_embedded_splits_are_stratified(name: str) -> None:
    train, test = (np.bincount(data.load(name, split).labels) for split in ("train", "test"))
    assert np.abs(test - (train + test) / 4).max() <= 1


def test_fingerprint_names_the_content() -> None:
    train, again, test = (data.load("digits", split) for split in ("train", "train", "test"))
    assert train.fingerprint() == again.fingerprint() != test.fingerprint()
    changed = train.inputs.copy()
    changed[-1, 0, 7, 7] += 1 / 16
    relabelled = np.roll(train.labels, 1)
    assert replace(train, inputs=changed).fingerprint() != train.fingerprint()
    assert replace(train, labels=relabelled).fingerprint() != train.fingerprint()


def test_only_train_and_test_exist() -> None:
    with pytest.raises(InputError, match="split to be 'train' or 'test', got 'validation'"):
        data.load("digits", "validation")


# .npz files


def test_npz_vectors_are_scaled_by_the_training_range(tmp_path: Path) -> None:
    # The third feature never varies in training; test values beyond the range are clipped.
    x_train = np.array([[-4, 0.1, 7], [6, 0.3, 7], [1, 0.2, 7]])
    x_test = np.array([[1, 0.15, 7], [-40, 0.9, 7]])
    labels = {"y_train": [0, 1, 0], "y_test": [[1], [0]]}
    name = write_npz(tmp_path / "v.npz", x_train=x_train, x_test=x_test, **labels)
    train, test = data.load(name, "train"), data.load(name, "test")
    scaled_train = np.array([[0, 0, 0], [1, 1, 0], [0.5, 0.5, 0]])
    scaled_test = np.array([[0.5, 0.25, 0], [0, 1, 0]])
    np.testing.assert_allclose(train.inputs, scaled_train, atol=1e-6)
    np.testing.assert_allclose(test.inputs, scaled_test, atol=1e-6)
    assert (test.labels.tolist(), test.num_features) == ([1, 0], 3)


def test_npz_vectors_of_bytes_are_scaled_like_any_other(tmp_path: Path) -> None:
    x_train = np.array([[10], [20]], dtype=np.uint8)
    x_test = np.array([[5], [15], [25]], dtype=np.uint8)
    name = write_npz(
        tmp_path / "v.npz", x_train=x_train, y_train=[0, 1], x_test=x_test, y_test=[0, 0, 1]
    )
    assert data.load(name, "test").inputs.tolist() == [[0], [0.5], [1]]


def test_missing_features_stay_missing(tmp_path: Path) -> None:
    x_train = np.array([[0.0, np.nan, 3], [4, np.nan, np.nan]])
    x_test = np.array([[np.nan, 7, 3], [2, np.nan, 9]])
    name = write_npz(
        tmp_path / "m.npz", x_train=x_train, y_train=[0, 1], x_test=x_test, y_test=[0, 1]
    )
    dataset = data.load(name, "test")
    expected = [[np.nan, 1, 0], [0.5, np.nan, 1]]  # no range is known for the second feature
    np.testing.assert_array_equal(dataset.inputs, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("side", [(), (1,), (3,)])
def test_npz_images_get_their_channels_first(tmp_path: Path, side: tuple[int, ...]) -> None:
    x_test = pixels(4, 5, 6, *side)
    name = write_npz(tmp_path / "i.npz", x_train=pixels(10, 5, 6, *side), x_test=x_test)
    test = data.load(name, "test")
    channels = side[0] if side else 1
    assert (test.input_shape, test.num_features) == ((channels, 5, 6), 30)
    batch = test.batch([3]).numpy()
    for channel in range(channels):
        expected = x_test[3, :, :, channel] if side else x_test[3]
        np.testing.assert_allclose(batch[0, channel], expected / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_test": None}, "x_train, y_train, x_test, y_test in .*found x_train, y_train, x_test"),
        ({"x_test": np.full((4, 3), np.inf)}, "finite inputs"),
        ({"x_test": np.full((4, 5, 5), 1.5)}, r"in \[0, 1\] .*from 1.5 to 1.5; divide"),
        ({"x_test": np.full((4, 5, 5), -0.5)}, r"in \[0, 1\]"),
        ({"x_test": np.full((4, 5, 5), np.nan)}, "finite images"),
        ({"y_test": np.array([0, 1, -1, 0])}, r"in 0\.\.2, got values from -1 to 1"),
        ({"y_test": np.array([0, 1, 3, 0])}, r"in 0\.\.2, got values from 0 to 3"),
        ({"y_test": np.array([0.0, 1.0, 2.0, 0.0])}, "to be integers, got float64"),
        ({"y_test": np.array([0, 1])}, "as many inputs as labels .* got 4 and 2"),
        ({"x_test": np.zeros((0, 3)), "y_test": np.zeros(0, int)}, "at least one, got 0 and 0"),
        ({"x_test": np.zeros((4, 1, 2, 2, 2))}, "height, width, channels"),
        ({"x_test": np.zeros((4, 8, 8, 4))}, "1 or 3 channels"),
        ({"x_test": np.zeros((4, 2))}, "vectors of one length"),
        ({"y_train": np.array(["a"] * 10)}, "array of numbers"),
        ({"y_train": np.zeros(10, int), "y_test": np.zeros(4, int)}, "at least 2 classes"),
    ],
)
def test_bad_npz_files_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        data.load(write_npz(tmp_path / "bad.npz", **changed), "test")


def test_labels_may_be_bytes_as_in_keras_files(tmp_path: Path) -> None:
    labels = np.arange(10, dtype=np.uint8) % 3
    path = write_npz(tmp_path / "bytes.npz", y_train=labels, y_test=labels[:4])
    assert data.load(path, "train").labels.tolist() == labels.tolist()


def test_train_labels_with_nan_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "nan.npz", y_train=np.full(10, np.nan))
    with pytest.raises(InputError, match="to be integers"):
        data.load(path, "train")


def test_a_single_file_has_no_test_split(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,label\n1,0\n2,1\n")
    with pytest.raises(InputError, match=r"folder with a training and a test split, or an .npz"):
        data.load(str(tmp_path / "table.csv"), "train")


# Parquet and image folders


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_parquet_folder_of_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = pixels(6, *shape)
    splits = {
        split: {"image": [Image.fromarray(images[i]) for i in rows], "label": labels}
        for split, rows, labels in (("train", (0, 1, 2, 3), [2, 0, 1, 1]), ("test", (4, 5), [0, 2]))
    }
    names = ["cat", "dog", "owl"]
    folder = write_parquet(
        tmp_path / "pets", splits, image=datasets.Image(), label=datasets.ClassLabel(names=names)
    )
    test = data.load(folder, "test")
    expected = images[4:, None] if len(shape) == 2 else images[4:].transpose(0, 3, 1, 2)
    assert test.inputs.dtype == np.uint8
    assert np.array_equal(test.inputs, expected)
    assert (test.labels.tolist(), test.class_names) == ([0, 2], tuple(names))
    assert len(data.load(folder, "train")) == 4


def test_parquet_folder_of_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = {"age": [20, 60, 40], "note": ["x", "y", "z"], "dose": [0.5, 1, 1.5]}
    test_rows = {"age": [30, 90], "note": ["x", "y"], "dose": [1.0, 0]}
    splits = {
        "train": train | {"target": ["ill", "well", "well"]},
        "test": test_rows | {"target": ["well", "ill"]},
    }
    write_parquet(tmp_path / "patients", splits)
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path))
    with pytest.warns(data.UnusedColumnsWarning, match=r"note \(string\)"):
        test = data.load("patients", "test")
    np.testing.assert_allclose(test.inputs, np.array([[0.25, 0.5], [1, 0]]), atol=1e-6)
    assert (test.labels.tolist(), test.class_names) == ([1, 0], ("ill", "well"))


@pytest.mark.parametrize(
    ("train", "test"), [(["a", "c"], ["b"]), ([0, 1], [2])], ids=["names", "numbers"]
)
def test_a_class_that_training_never_saw_is_refused(
    tmp_path: Path, train: list[Any], test: list[Any]
) -> None:
    splits = {"train": {"x": [0.0, 1.0], "label": train}, "test": {"x": [0.5], "label": test}}
    folder = write_parquet(tmp_path / "table", splits)
    with pytest.raises(InputError, match="label"):
        data.load(folder, "test")


def test_classes_are_those_of_training_whatever_the_split_shows(tmp_path: Path) -> None:
    splits = {
        "train": {"x": [0.0, 1.0, 2.0], "label": [0, 1, 2]},
        "test": {"x": [0.5, 0.7], "label": [0, 1]},
    }
    folder = write_parquet(tmp_path / "table", splits)
    assert data.load(folder, "test").class_names == data.load(folder, "train").class_names


def test_image_folder(tmp_path: Path) -> None:
    images = pixels(4, 3, 3)
    places = ["train/yes/0", "train/no/1", "test/no/2", "test/yes/3"]
    for image, place in zip(images, places, strict=True):
        file = tmp_path / "answers" / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    test = data.load(str(tmp_path / "answers"), "test")
    assert test.class_names == ("no", "yes")
    by_label = dict(zip(test.labels.tolist(), test.inputs[:, 0], strict=True))
    assert np.array_equal(by_label[0], images[2])
    assert np.array_equal(by_label[1], images[3])


LABELS = {"label": [0, 1]}
NUMBERS = {"x": [0.0, 1.0]} | LABELS
SMALL, LARGE = Image.new("L", (4, 4)), Image.new("L", (5, 4))


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": NUMBERS}, "has no test split; expected test or validation.*found train"),
        ({"train": {"x": [0.0, 1.0]}, "test": {"x": [0.0, 1.0]}}, "no label column.*found x"),
        ({"train": LABELS, "test": LABELS}, "neither an image column nor numeric columns"),
        ({"test": NUMBERS}, "needs a train split"),
        ({"test": {"image": [SMALL, LARGE]} | LABELS}, r"one shape, found 2.*\(1, 4, 4\), \(1, 4"),
    ],
)
def test_unusable_folders_are_refused(
    tmp_path: Path, splits: dict[str, dict[str, Any]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        data.load(write_parquet(tmp_path / "bad", splits), "test")


def test_a_validation_split_serves_where_there_is_no_test_split(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "table", {"train": NUMBERS, "validation": NUMBERS})
    assert len(data.load(folder, "test")) == 2


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load .*Parquet or CSV files named train-"):
        data.load(str(tmp_path), "test")


def test_what_is_not_found_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(name: str) -> None:
        raise ConnectionError(name)

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    monkeypatch.setenv(data.DATA_VARIABLE, "/nowhere")
    with pytest.raises(InputError, match=r"'mnist' not found: .*nowhere.*'ylecun/mnist'.*digits"):
        data.load("mnist", "test")
    monkeypatch.delenv(data.DATA_VARIABLE)
    with pytest.raises(InputError, match=r"'some/thing'.*not set.*some/thing.*some/thing"):
        data.load("some/thing", "test")


@pytest.mark.skipif(not MNIST.exists(), reason="needs MNIST in $SPARSECERT_DATA")
def test_mnist() -> None:
    test = data.load("mnist", "test")
    assert test.inputs.shape == (10_000, 1, 28, 28)
    assert test.inputs.dtype == np.uint8
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert test.num_classes == 10


# Choice of images


@given(size=st.integers(1, 10_000), limit=st.integers(1, 10_000))
def test_evenly_spread_indices(size: int, limit: int) -> None:
    indices = data.evenly_spread(size, limit)
    assert len(indices) == min(size, limit)
    assert indices[0] == 0
    assert indices[-1] < size
    gaps = np.diff(np.append(indices, size))  # the last stretch is no longer than the others
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("limit", [30, 100, 500, 2_000, 5_000])
def test_images_are_of_all_classes_though_the_classes_come_in_turns(limit: int) -> None:
    labels = np.arange(10_000) % 10
    assert len(np.unique(labels[data.evenly_spread(10_000, limit)])) < 10  # what is avoided
    indices = data.representatives(labels, limit)
    assert (np.diff(indices) > 0).all()
    stretches = np.append(data.evenly_spread(10_000, limit), 10_000)
    np.testing.assert_array_equal(
        np.searchsorted(stretches, indices, "right"), 1 + np.arange(limit)
    )
    counts = np.bincount(labels[indices], minlength=10)
    deviation = 4 * math.sqrt(limit * 0.09)
    assert abs(counts - limit / 10).max() < deviation
    np.testing.assert_array_equal(indices, data.representatives(labels, limit))


def test_classes_that_come_in_turns_are_seen_though_examples_are_missing() -> None:
    labels = np.delete(np.arange(10_000) % 10, [3, 1_234, 5_678])
    assert len(np.unique(labels[data.evenly_spread(len(labels), 100)])) < 10
    assert len(np.unique(labels[data.representatives(labels, 100)])) == 10


@pytest.mark.parametrize("in_turns", [False, True])
def test_images_of_a_smaller_limit_are_among_those_of_a_larger(in_turns: bool) -> None:
    """So that images which are attacked have been certified."""
    labels = np.arange(10_000) % 10
    labels = labels if in_turns else np.sort(labels)
    few, some, many = (data.representatives(labels, limit) for limit in (50, 100, 1_000))
    assert np.isin(few, some).all()
    assert np.isin(some, many).all()


@pytest.mark.parametrize("order", ["random", "sorted", "one of each"])
@pytest.mark.parametrize("limit", [1, 2, 7, 300, None])
def test_images_are_evenly_spread_where_that_shows_the_classes(
    order: str, limit: int | None
) -> None:
    labels = {
        "random": np.random.default_rng(0).integers(10, size=3_000),
        "sorted": np.sort(np.random.default_rng(0).integers(10, size=3_000)),
        "one of each": np.arange(3_000),
    }[order]
    expected = data.evenly_spread(3_000, limit)
    np.testing.assert_array_equal(data.representatives(labels, limit), expected)


def test_classes_that_no_image_has_are_no_reason_to_choose_others() -> None:
    labels = np.random.default_rng(0).choice([2, 5, 9], size=1_000)
    expected = data.evenly_spread(1_000, 50)
    np.testing.assert_array_equal(data.representatives(labels, 50), expected)


def test_without_a_limit_every_image_is_taken() -> None:
    assert data.evenly_spread(4, None).tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="limit to be at least 1, got 0"):
        data.evenly_spread(4, 0)
