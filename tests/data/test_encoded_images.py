"""Large images: decoded when needed."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from sparsecert import UniformAblation, data
from sparsecert.errors import InputError
from sparsecert.training.fit import Batches
from sparsecert.training.recipes import recipe_for
from tests.helpers.commands import read_json, record, report, run
from tests.helpers.training import config, noise_images

SIZES = ((256, 320), (300, 256), (256, 256), (700, 256))


pytestmark = pytest.mark.usefixtures("own_cache")


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


def test_of_an_image_that_no_part_fits_the_middle_is_shown(folder: Path) -> None:
    """A part has 8 % of the area at least, and nearly square sides."""
    gradient(6_000, 240).save(folder / "train" / "class0" / "0.png")
    rows = np.zeros(8, dtype=np.int64)
    crops = data.load(str(folder), "train").random_crops(rows, np.random.default_rng(0))
    red, green = crops[:, 0], crops[:, 1]
    assert ((red.mean((1, 2)) - 0.5).abs() < 0.02).all()
    assert (red.amax((1, 2)) - red.amin((1, 2)) < 240 / 6_000 + 0.01).all()
    assert (green.amax((1, 2)) - green.amin((1, 2)) > 0.95).all()


def test_images_inside_parquet_files_are_seen_as_those_in_folders(
    folder: Path, tmp_path: Path
) -> None:
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    images = [gradient(*SIZES[number]) for number in (0, 2, 1, 3)]
    table = datasets.Dataset.from_dict({"image": images, "label": [0, 0, 1, 1]}, features)
    (tmp_path / "table").mkdir()
    for split in ("train", "test"):
        table.to_parquet(tmp_path / "table" / f"{split}-00000-of-00001.parquet")
    inside, beside = (data.load(str(tmp_path / name), "test") for name in ("table", "images"))
    assert inside.labels.tolist() == beside.labels.tolist()
    assert torch.equal(inside.batch(np.arange(4)), beside.batch(np.arange(4)))


def test_small_images_have_no_random_parts() -> None:
    with pytest.raises(InputError, match="large images"):
        data.load("digits", "train").random_crops(np.arange(2), np.random.default_rng(0))


def test_fingerprint_tells_files_apart(folder: Path) -> None:
    one = data.load(str(folder), "test").fingerprint()
    assert data.load(str(folder), "test").fingerprint() == one
    path = folder / "validation" / "class0" / "0.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # of the same length
    path.write_bytes(content)
    assert data.load(str(folder), "test").fingerprint() != one


def test_photographs_are_turned_upright(folder: Path) -> None:
    sideways = gradient(256, 320).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    path = folder / "validation" / "class0" / "0.png"
    sideways.save(path, exif=exif)
    upright = data.load(str(folder), "test").batch(np.array([0]))[0]
    torch.testing.assert_close(
        upright, data.load(str(folder), "train").batch(np.array([0]))[0], atol=0.02, rtol=0
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"nothing", "not an image"), (b"half", "truncated"), (b"deep", "8 bits, got mode I;16")],
)
def test_damaged_and_odd_images_are_named(folder: Path, content: bytes, sentence: str) -> None:
    path = folder / "validation" / "class1" / "1.png"
    if content == b"half":
        content = path.read_bytes()[:-200]
    if content == b"deep":
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((256, 256), dtype=np.uint16)).save(buffer, format="png")
        content = buffer.getvalue()
    path.write_bytes(content)
    dataset = data.load(str(folder), "test")
    with pytest.raises(InputError, match=sentence) as error:
        dataset.batch(np.arange(4))
    assert "1.png" in str(error.value)


def test_large_arrays_are_trained_like_small_ones(tmp_path: Path) -> None:
    """From an .npz they are in memory at their own size, which nothing decodes."""
    train = ["train", "--data", noise_images(tmp_path / "x.npz", 8, 160), "--retained", 900]
    run(*train, "--recipe", "fast", "--model", "resnet18", "--epochs", 1, "--out", tmp_path / "run")
    written = read_json(tmp_path / "run" / "config.json")
    assert written["encoding_mean"] is None
    assert written["recipe"]["augmentation"] == "none"


def test_large_images_are_trained_and_certified(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    train = ["train", "--data", folder, "--retained", 1000, "--recipe", "paper"]
    run(*train, "--model", "resnet18", "--epochs", 2, "--out", path)
    written = read_json(path / "config.json")
    assert written["num_features"] == 224 * 224
    assert written["encoding_std"] == [0.229, 0.224, 0.225]
    assert written["recipe"]["augmentation"] == "random-part"
    run("certify", path, "--num-selection", 4, "--num-samples", 12, "--limit", 2)
    assert record(path)["num_images"] == 2
    assert "no. 0" in report(path)


def test_decoding_ahead_changes_nothing(folder: Path) -> None:
    dataset = data.load(str(folder), "train")
    settings = config(
        input_shape=(3, 224, 224),
        class_names=dataset.class_names,
        architecture="resnet18",
        design=UniformAblation(224 * 224, 1000),
        recipe=replace(recipe_for("paper", (3, 224, 224)), batch_size=2, epochs=3),
    )
    in_order, at_random = (Batches(settings, dataset, Accelerator(cpu=True)) for _ in range(2))
    assert in_order.num_steps == 6
    expected = [in_order.at(step) for step in range(6)]
    for step in (5, 2, 3, 0):
        for one, other in zip(at_random.at(step), expected[step], strict=True):
            assert torch.equal(one, other)
