"""Large images: decoded when needed."""

from __future__ import annotations

import io
import os
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from sparsecert import data
from sparsecert.data import DATA_VARIABLE
from sparsecert.errors import InputError

SAMPLE = Path(os.environ.get(DATA_VARIABLE) or "no data folder") / "imagenet-sample"
SIZES = ((256, 320), (300, 256), (256, 256), (700, 256))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green grows downwards, and blue is the same everywhere."""
    red, green = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    blue = np.full_like(red, 0.5)
    return Image.fromarray((255 * np.stack((red, green, blue), axis=2)).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder of two classes in two splits."""
    for split in ("train", "validation"):
        for number, size in enumerate(SIZES):
            path = tmp_path / "images" / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            gradient(*size).save(path)
    return tmp_path / "images"


def test_the_middle_is_shown(folder: Path) -> None:
    dataset = data.load(str(folder), "test")
    assert dataset.input_shape == (3, 224, 224)
    assert dataset.num_features == 224 * 224
    assert dataset.class_names == ("class0", "class1")
    x = dataset.batch(np.arange(4))
    assert x.shape == (4, 3, 224, 224)
    for image in x:
        red, green, blue = image
        assert red.mean() == pytest.approx(0.5, abs=0.01)  # cut evenly from both ends
        assert green.mean() == pytest.approx(0.5, abs=0.01)
        assert blue.std() < 0.01
    # The square image shows 224/256 of itself; the longest one as much of its shorter side only.
    widths = sorted(float(image[0].max() - image[0].min()) for image in x)
    assert widths[-1] == pytest.approx(224 / 256, abs=0.01)
    assert widths[0] == pytest.approx(224 / 700, abs=0.01)


def test_random_parts_are_parts_and_repeat_themselves(folder: Path) -> None:
    dataset = data.load(str(folder), "train")
    rows = np.tile(np.flatnonzero(dataset.labels == 0), 100)
    one, other = (dataset.random_crops(rows, np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(one, other)
    red, green = one[:, 0], one[:, 1]
    share = (red.amax((1, 2)) - red.amin((1, 2))) * (green.amax((1, 2)) - green.amin((1, 2)))
    assert 0.07 < share.min() < 0.2
    assert 0.8 < share.max() <= 1
    mirrored = (red[:, 100, 0] > red[:, 100, 223]).float().mean()
    assert 0.35 < mirrored < 0.65
    assert (green[:, 0, 100] < green[:, 223, 100]).all()  # never upside down


def test_small_images_have_no_random_parts() -> None:
    with pytest.raises(InputError, match="large images"):
        data.load("digits", "train").random_crops(np.arange(2), np.random.default_rng(0))


def test_fingerprint_tells_files_apart(folder: Path) -> None:
    one = data.load(str(folder), "test").fingerprint()
    assert data.load(str(folder), "test").fingerprint() == one
    path = folder / "validation" / "class0" / "0.png"
    buffer = io.BytesIO()
    gradient(256, 321).save(buffer, format="png")
    path.write_bytes(buffer.getvalue())
    assert data.load(str(folder), "test").fingerprint() != one
