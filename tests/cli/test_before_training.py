"""What is said before an hour of training, and not after it."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from sparsecert import files
from sparsecert.errors import RunFolderError
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import NoTestSplitWarning, train_run
from tests.helpers.commands import Fails, log, run
from tests.helpers.training import noise_images

ARRAYS = {
    "x_train": np.zeros((20, 4, 4)),
    "y_train": np.arange(20) % 2,
    "x_test": np.zeros((6, 4, 4)),
    "y_test": np.arange(6) % 2,
}


def train(data: object, out: Path, *words: object) -> tuple[object, ...]:
    return "train", "--data", data, "--retained", 5, "--epochs", 1, "--out", out, *words


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"x_test": np.zeros((6, 4, 3))}, "as its training split has, got (1, 4, 3) from the test"),
        ({"y_test": np.arange(6)}, "labels of"),
        ({"y_train": np.arange(20) * 10**6}, "got the label 19000000; number the classes"),
        ({"y_train": np.arange(20) * 2**40}, "number the classes"),
    ],
)
def test_splits_that_do_not_go_together_are_told(
    wrong: dict[str, np.ndarray], sentence: str, tmp_path: Path, fails: Fails
) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **(ARRAYS | wrong))
    fails(sentence, *train(path, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def images(folder: Path, *splits: str) -> Path:
    for split in splits:
        for number in range(8):
            path = folder / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (6, 6), 30 * number).save(path)
    return folder


@pytest.mark.usefixtures("own_cache")
def test_a_missing_test_split_and_a_broken_image_are_told(tmp_path: Path, fails: Fails) -> None:
    folder = images(tmp_path / "images", "train")
    with pytest.warns(NoTestSplitWarning, match=r"has no test split.*will need --data"):
        train_run(
            str(folder), tmp_path / "run", "fast", design_settings={"num_retained": 5}, epochs=1
        )
    broken = images(folder, "test") / "test" / "class0" / "4.png"
    broken.write_bytes(broken.read_bytes()[:40])
    fails("class0/4.png is truncated or not an image", *train(folder, tmp_path / "run"))


def test_names_that_are_too_long_end_in_a_sentence(tmp_path: Path, fails: Fails) -> None:
    fails("File name too long", *train("x" * 300, tmp_path / "run"))
    fails("File name too long", *train("digits", tmp_path / ("x" * 300)))


def test_a_log_with_a_bad_line_ends_in_a_sentence(tmp_path: Path, fails: Fails) -> None:
    folder = tmp_path / "run"
    words = train("digits", folder)
    run(*words)
    (folder / "model.safetensors").unlink()
    (folder / "train.jsonl").write_text('{"epo\n')
    fails("train.jsonl is damaged", *words)


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="free some space"), files.atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RunFolderError, match="choose another"), files.atomic_path(tmp_path / "a"):
        raise OSError(errno.EACCES, "Permission denied")


def test_no_network_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: Fails
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    asked: list[bool] = []

    def load_dataset(_: str) -> None:
        asked.append(datasets.config.HF_HUB_OFFLINE)
        raise ConnectionError("nothing was downloaded before")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fails("cannot be reached: Name or service not known", *train("someone/else", tmp_path / "run"))
    assert asked == [True]
    assert not datasets.config.HF_HUB_OFFLINE


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sparsecert", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_run_is_trained_by_one_process(tmp_path: Path, fails: Fails) -> None:
    folder = tmp_path / "run"
    words = ("train", "--data", "digits", "--retained", 12, "--epochs", 400, "--out", folder)
    first = start(*words)
    try:
        wait_for((folder / "train.jsonl").exists)
        fails("another process is training", *words)
        assert first.poll() is None
    finally:
        first.terminate()
        first.communicate(timeout=60)
    assert [line["epoch"] for line in log(folder)] == list(range(1, len(log(folder)) + 1))
    short = tmp_path / "short"
    run(*train("digits", short))
    assert not (short / ".training.lock").exists()
    (folder / "config.json").write_text((short / "config.json").read_text())
    for name in ("checkpoint.safetensors", "train.jsonl"):
        (folder / name).unlink(missing_ok=True)
    run(*train("digits", folder))  # what was stopped left no lock behind


def test_other_changes_to_images_are_named_in_the_command(tmp_path: Path, fails: Fails) -> None:
    images, out = noise_images(tmp_path / "x.npz", 12, 16, 3), tmp_path / "run"
    words = ["--augmentation", "warp-colour", "--weight-average", 0.9]
    run(*train(images, out, *words))
    config = RunFolder(out).config
    assert (config.recipe.augmentation, config.recipe.weight_average) == ("warp-colour", 0.9)
    assert "--augmentation warp-colour --weight-average 0.9" in config.train_command(out)
    run(*train(images, tmp_path / "usual"))
    assert "augment" not in RunFolder(tmp_path / "usual").config.train_command(out)
    new = tmp_path / "new"
    fails("weight_average in [0, 1), got 1.0", *train(images, new, "--weight-average", 1))
    fails("expected --augmentation none for these", *train("breast-cancer", new, *words))


def test_a_deeper_network_starts_from_a_shallower_one(tmp_path: Path, fails: Fails) -> None:
    images, wide = noise_images(tmp_path / "x.npz", 12, 16, 3), tmp_path / "wide"
    deep = ("--model", "deep-interpolating-resnet")
    run(*train(images, wide))
    out = tmp_path / "deep"
    run(*train(images, out, *deep, "--start", wide))
    command = RunFolder(out).config.train_command(out)
    assert "--model wide" in command
    assert "--model deep" in command
    other_way = train(images, tmp_path / "new", "--model", "wide-interpolating-resnet")
    fails("start from with architecture 'wide-interpolating-resnet'", *other_way, "--start", out)


def test_many_numbers_of_retained_features_at_once(tmp_path: Path, fails: Fails) -> None:
    images = noise_images(tmp_path / "x.npz", 12, 16, 3)
    for words, expected in (
        ((), (0.4, 1.4)),
        (("--retained-range", 0.3, 1.5), (0.3, 1.5)),
        (("--retained-range", 1, 1), (1, 1)),
    ):
        out = tmp_path / str(expected)
        run(*train(images, out, *words))
        config = RunFolder(out).config
        assert config.recipe.retained_range == expected
        said = "--retained-range " + " ".join(str(float(share)) for share in expected)
        assert (said in config.train_command(out)) == bool(words)
    new = ("--out", tmp_path / "new", "--retained-range", 0.5, 1.5)
    fails("two positive shares of k, rising", *train(images, *new[1:3]), 2, 1)
    partition = ("train", "--data", "digits", "--design", "partition", "--sets", 4, *new)
    fails("expected random ablation, which a recipe with a retained_range needs", *partition)
