"""Units and protected entries on the command line, from training to the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import sparsecert as sc
from sparsecert.designs.units import parse_units
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import Fails, run


def test_patches_of_digits_from_training_to_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: Fails
) -> None:
    out = tmp_path / "patches"
    train = ("train", "--data", "digits", "--retained", 4, "--units", "patch:2", "--protect", "0-7")
    run(*train, "--epochs", 1, "--out", out)
    config = RunFolder(out).config
    assert config.design.num_features == 16  # what is left of the first row of patches stays one
    assert config.design.owner is not None
    assert (config.design.owner[:8] == -1).all()
    run("certify", out, "--limit", 12, "--num-selection", 20, "--num-samples", 200)
    record = json.loads((out / "record.json").read_text())
    assert record["num_features"] == 16
    assert "units" in capsys.readouterr().out
    run("attack", out, "--attack", "greedy", "--limit", 2, "--num-samples", 200)
    run("report", out)
    page = (out / "report" / "index.html").read_text()
    assert "4 of its 16 units" in page
    assert "--units patch:2 --protect 0-7" in config.train_command(out)
    run(*train, "--epochs", 1, "--out", out)  # the same run
    fails("another run", "train", "--data", "digits", "--retained", 4, "--epochs", 1, "--out", out)


def test_columns_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    names = ["age", "height", "red", "green", "blue"]
    (tmp_path / "data").mkdir()
    for split, size in (("train", 120), ("test", 40)):
        labels = rng.integers(0, 2, size)
        columns = rng.random((size, 5)) + labels[:, None] / 2
        rows = [",".join([*names, "label"])]
        rows += [
            ",".join([*map(str, row), str(label)])
            for row, label in zip(columns, labels, strict=True)
        ]
        (tmp_path / "data" / f"{split}.csv").write_text("\n".join(rows))
    out = tmp_path / "run"
    words = ("--units", "red+green+blue", "--protect", "age", "--retained", 1, "--epochs", 2)
    run("train", "--data", tmp_path / "data", *words, "--out", out)
    design = RunFolder(out).config.design
    assert design.num_features == 2
    assert design.owner is not None
    assert sorted(design.owner.tolist()) == [-1, 0, 1, 1, 1]
    run("certify", out, "--num-selection", 20, "--num-samples", 200)
    assert "groups" in capsys.readouterr().out
    run("report", out)
    assert "1 of its 2 groups" in (out / "report" / "index.html").read_text()


NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("units", "protected", "shape", "expected"),
    [
        (None, "1-2", (4,), [0, -1, -1, 1]),
        ("a+c", None, (4,), [0, 1, 0, 2]),
        ("a+c, b+3", None, (4,), [0, 1, 0, 1]),
        ("a+c", "d", (4,), [0, 1, 0, -1]),
        ("patch:2", None, (1, 2, 4), [0, 0, 1, 1, 0, 0, 1, 1]),
        ("patch:2", "0-1", (3, 2, 4), [-1, -1, 1, 1, 0, 0, 1, 1]),
    ],
)
def test_words_for_units(
    units: str | None, protected: str | None, shape: tuple[int, ...], expected: list[int]
) -> None:
    names = NAMES if len(shape) == 1 else None
    found = parse_units(units, protected, shape, names)
    assert found is not None
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("units", "protected", "shape", "sentence"),
    [
        ("a+x", None, (4,), "a number from 0 to 3 or one of a, b, c, d, got 'x'"),
        ("a+b,b+c", None, (4,), "in one group at most"),
        ("a+b", None, (1, 2, 2), "patch:S, such as patch:4"),
        ("patch:0", None, (1, 2, 2), "at least 1 pixel a side"),
        (None, "0-3", (4,), "all 4 entries are protected"),
        (None, "9", (4,), "from 0 to 3"),
    ],
)
def test_words_that_name_no_units(
    units: str | None, protected: str | None, shape: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        parse_units(units, protected, shape, NAMES if len(shape) == 1 else None)


def test_families_on_the_command_line_have_none(tmp_path: Path, fails: Fails) -> None:
    words = ("--data", "digits", "--design", "partition", "--sets", 4, "--out", tmp_path / "run")
    fails("families take units in Python", "train", *words, "--units", "patch:2")
