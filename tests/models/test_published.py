"""Checkpoints of the paper's authors: imported networks give the logits that theirs give."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import sparsecert as sc
from sparsecert.data import load as load_data
from sparsecert.procedures.run import load
from sparsecert.report.tables import run_rows
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples
from tests.helpers.commands import SMALL, Fails, read_json, record, run
from tests.helpers.published import Digits, Residual, masked, masked_by_mean, save
from tests.helpers.training import noise_images

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imported(checkpoint: Path, architecture: str, data: str, k: int, out: Path) -> Path:
    words = ["--architecture", architecture, "--data", data, "--retained", k, "--out", out]
    run("import", checkpoint, *words)
    return out


def ballots(folder: Path, data: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images, some retained sets, and the imported network's logits."""
    smoothed = load(folder)
    assert isinstance(smoothed, SmoothedClassifier)
    x = load_data(data, "test").batch([0, 1, 2])
    mask = torch.from_numpy(smoothed.ablation.draw(samples(0, Stage.SELECTION, 0, len(x))))
    with torch.no_grad():
        return x, mask, smoothed.logits(x, mask)


@pytest.fixture
def grey(tmp_path: Path) -> str:
    return noise_images(tmp_path / "grey.npz", 12, 28)


@pytest.fixture
def colour(tmp_path: Path) -> str:
    return noise_images(tmp_path / "colour.npz", 12, 32, 3)


@pytest.mark.parametrize("packed", [False, True])
def test_the_network_for_mnist(tmp_path: Path, grey: str, packed: bool) -> None:
    theirs = Digits()
    found = theirs.parameters(2)
    checkpoint = save(tmp_path / "mnist.pth", found, packed=packed)
    folder = imported(checkpoint, "paper-cnn", grey, 45, tmp_path / "run")
    x, mask, logits = ballots(folder, grey)
    assert int(mask.sum()) == 3 * 45
    torch.testing.assert_close(logits, theirs.logits(found, masked(x, mask)), atol=1e-5, rtol=1e-5)


def test_the_network_for_mnist_with_the_mean_encoding(tmp_path: Path, grey: str) -> None:
    theirs = Digits(channels=1)
    found = theirs.parameters(2)
    folder = imported(save(tmp_path / "m.pth", found), "paper-cnn", grey, 45, tmp_path / "run")
    x, mask, logits = ballots(folder, grey)
    encoded = masked_by_mean(x, mask, (0.1307,))
    torch.testing.assert_close(logits, theirs.logits(found, encoded), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [6, 3])
def test_the_network_for_cifar10(tmp_path: Path, colour: str, channels: int) -> None:
    theirs = Residual(channels=channels)
    found = theirs.parameters(2)
    folder = imported(save(tmp_path / "c.pth", found), "resnet18", colour, 75, tmp_path / "run")
    x, mask, logits = ballots(folder, colour)
    mean = (0.4914, 0.4822, 0.4465)
    encoded = masked(x, mask) if channels == 6 else masked_by_mean(x, mask, mean)
    torch.testing.assert_close(logits, theirs.logits(found, encoded), atol=1e-4, rtol=1e-4)


def large_images(path: Path) -> str:
    """An image folder of two classes."""
    pixels = np.random.default_rng(0).integers(256, size=(6, 240, 300, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        file = path / ("train" if number < 2 else "test") / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return str(path)


@pytest.mark.usefixtures("own_cache")
def test_the_network_for_imagenet(tmp_path: Path) -> None:
    data = large_images(tmp_path / "images")
    theirs = Residual((3, 4, 6, 3), bottleneck=True, large=True)
    found = theirs.parameters(2)
    folder = imported(save(tmp_path / "i.pth", found), "resnet50", data, 1000, tmp_path / "run")
    x, mask, logits = ballots(folder, data)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    expected = theirs.logits(found, masked((x - mean) / std, mask))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_an_imported_run_is_a_run(tmp_path: Path, grey: str) -> None:
    checkpoint = save(tmp_path / "mnist.pth", Digits().parameters(2))
    folder = imported(checkpoint, "paper-cnn", grey, 45, tmp_path / "run")
    imported(checkpoint, "paper-cnn", grey, 45, folder)  # again, to no effect
    config = read_json(folder / "config.json")
    assert config["recipe"]["name"] == "imported"
    assert config["recipe"]["epochs"] == 400
    for rule in ("majority", "pairwise"):
        run("certify", folder, *SMALL, "--rule", rule, "--limit", 3)
    result = record(folder)
    again = f"sparsecert import {checkpoint} --architecture paper-cnn --data {grey} --retained 45"
    assert result["command"].startswith(f"{again} --out {folder} && sparsecert certify {folder}")
    assert (result["recipe"], result["epochs"], result["training_seconds"]) == (
        "imported", 400, None
    )  # fmt: skip
    assert f"imported from {checkpoint}, 400 epochs" in dict(run_rows(RunFolder(folder))).values()
    words = ["--recipe", "paper", "--retained", 20, "--epochs", 1]
    run("train", "--data", grey, "--start", folder, *words, "--out", tmp_path / "next")
    assert sc.load(tmp_path / "next").base is not None


class Shell:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("was-run"),)


def bad_files(path: Path) -> dict[str, Path]:
    """Files that are not what is expected, by what is said of them."""
    found = Digits().parameters(2)
    files = {word: path / f"{number}.pth" for number, word in enumerate("abcdefg")}
    torch.save({"net": found, "acc": Shell()}, files["a"])
    files["b"].write_bytes(b"no checkpoint")
    torch.save(found, files["c"])
    torch.save({"net": {1: found["0.weight"]}}, files["d"])
    torch.save({"net": {"0.weight": found["0.weight"].to_sparse()}}, files["e"])
    torch.save({"net": found, "epoch": "last"}, files["f"])
    files["g"].write_bytes(files["c"].read_bytes()[:-500])
    return files


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("a", "(UnpicklingError); expected a file that torch.save wrote, of tensors, numbers"),
        ("b", "expected a file that torch.save wrote, of tensors, numbers and texts alone"),
        ("c", "expected a dictionary with the network's parameters under 'net'"),
        ("d", "expected a dictionary with the network's parameters under 'net'"),
        ("e", "expected a dictionary with the network's parameters under 'net'"),
        ("f", "expected the last epoch under 'epoch' in"),
        ("g", "expected a file that torch.save wrote, of tensors, numbers and texts alone"),
    ],
)
def test_bad_files_end_in_a_sentence(
    tmp_path: Path, grey: str, which: str, sentence: str, fails: Fails, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--architecture", "paper-cnn", "--data", grey, "--retained", 45, "--out", "run"]
    fails(sentence, "import", bad_files(tmp_path)[which], *words)
    assert not Path("run").exists()
    assert not Path("was-run").exists()


def test_files_that_are_too_large_are_not_read(tmp_path: Path, grey: str, fails: Fails) -> None:
    words = ["--architecture", "paper-cnn", "--data", grey, "--retained", 45]
    words += ["--out", str(tmp_path / "run")]
    sparse, bomb = tmp_path / "sparse.pth", tmp_path / "bomb.pth"
    with sparse.open("wb") as file:
        file.truncate(2**31 + 1)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"archive/data/{number}", bytes(2**20))
    with zipfile.ZipFile(bomb) as archive:
        entry = archive.infolist()[0]
    content = bomb.read_bytes()
    large = (2**31).to_bytes(4, "little")
    directory = content.index(b"PK\x01\x02")
    size = entry.file_size.to_bytes(4, "little")
    place = content.index(size, directory)
    bomb.write_bytes(content[:place] + large + content[place + 4 :])
    fails("expected a checkpoint of at most 2147483648 bytes", "import", sparse, *words)
    fails("expected a checkpoint of at most 2147483648 bytes", "import", bomb, *words)
    fails("which is none", "import", tmp_path / "missing.pth", *words)


def test_networks_for_other_images_end_in_a_sentence(
    tmp_path: Path, grey: str, colour: str, fails: Fails
) -> None:
    def fail(sentence: str, found: dict[str, Tensor], architecture: str, data: str) -> None:
        out = tmp_path / "run"
        words = ["--architecture", architecture, "--data", data, "--retained", 5, "--out", out]
        fails(sentence, "import", save(tmp_path / "net.pth", found), *words)
        assert not out.exists()

    cnn, resnet = Digits().parameters(10), Residual().parameters(2)
    fail(
        "9.weight is torch.float32 of shape (2, 100), got torch.float32 of", cnn, "paper-cnn", grey
    )
    fail("expected the layers of a resnet18, got '0.weight'", cnn, "resnet18", colour)
    fail("which begins with a convolution, got none", resnet, "paper-cnn", grey)
    more = resnet | {"layer1.2.conv1.weight": resnet["layer1.1.conv1.weight"]}
    fail("expected the layers of a resnet18, got 'layer1.2.conv1.weight'", more, "resnet18", colour)
    third = resnet | {"layer1.1.bn3.bias": resnet["layer1.1.bn2.bias"]}
    fail("got one with the parameter 1.1.residual.4.1.bias", third, "resnet18", colour)
    fail("images of shape (1, 28, 28)", resnet, "resnet18", grey)
    fail("expected images, which a resnet18 takes", resnet, "resnet18", "breast-cancer")
    half = resnet | {"conv1.weight": resnet["conv1.weight"].half()}
    fail("0.0.weight is torch.float32 of shape (64, 6, 3, 3)", half, "resnet18", colour)
    del resnet["bn1.bias"]
    fail("got one without the parameter 0.1.bias", resnet, "resnet18", colour)
    tiny = noise_images(tmp_path / "tiny.npz", 12, 40, 3)
    mean = Residual(channels=3).parameters(2)
    fail("expected images of MNIST or CIFAR-10 for a network with the mean", mean, "resnet18", tiny)
