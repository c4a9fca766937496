"""New images and rows, without labels, on the command line and in Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sparsecert as sc
from sparsecert import data
from sparsecert.cli import app
from sparsecert.report.words import withstands
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import SMALL, Fails, Output, parts, run


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify") / "table"
    run("train", "--data", "breast-cancer", "--retained", 5, "--epochs", 3, "--out", folder)
    return folder


@pytest.fixture
def rows(table_run: Path) -> pd.DataFrame:
    """Three test rows as they were before they were scaled, with another column first."""
    ends = RunFolder(table_run).config.feature_range
    assert ends is not None
    low, high = np.array(ends.low), np.array(ends.high)
    scaled = data.load("breast-cancer", "test").inputs[:3].astype(np.float64)
    table = pd.DataFrame(low + scaled * (high - low), columns=list(ends.names or ()))
    table.insert(0, "name", ["a", "b", "c"])
    return table[table.columns[::-1]]


def test_rows_are_scaled_as_in_training(
    table_run: Path, rows: pd.DataFrame, tmp_path: Path, output: Output
) -> None:
    expected = data.load("breast-cancer", "test").inputs[:3]
    np.testing.assert_allclose(sc.inputs_for(table_run, rows), expected, atol=1e-6)
    path = tmp_path / "new.csv"
    rows.to_csv(path, index=False)
    np.testing.assert_allclose(sc.inputs_for(table_run, path), expected, atol=1e-6)
    ordered: Any = rows[rows.columns[::-1]].drop(columns="name").to_numpy()
    np.testing.assert_allclose(sc.inputs_for(table_run, ordered), expected, atol=1e-6)
    rows.loc[1, "mean radius"] = None
    rows.to_csv(path, index=False)
    missing = np.isnan(sc.inputs_for(table_run, path).numpy())
    assert missing.tolist() == np.isnan(sc.inputs_for(table_run, rows).numpy()).tolist()
    assert missing.sum() == 1
    output()
    run("classify", table_run, path, *SMALL, "--json")
    told = json.loads(output())
    smoothed: Any = sc.load(table_run)
    certificate = smoothed.certify(sc.inputs_for(table_run, path), 40, 200, seed=told["seed"])
    assert [answer["radius"] for answer in told["answers"]] == certificate.radius.tolist()
    assert {answer["class"] for answer in told["answers"]} <= {"malignant", "benign"}
    run("classify", table_run, path, *SMALL, "--json")
    assert json.loads(output())["seed"] != told["seed"]


def test_images_are_classified_and_nothing_is_stored(
    folder: Path, tmp_path: Path, output: Output, fails: Fails
) -> None:
    images = data.load("digits", "test").inputs[:2]
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(path)
    x = sc.inputs_for(folder, paths)
    np.testing.assert_allclose(x, images, atol=1 / 255)
    np.testing.assert_allclose(sc.inputs_for(folder, images[:, 0]), images)
    output()
    run("classify", folder, *paths, *SMALL, "--seed", 3)
    told = output()
    smoothed: Any = sc.load(folder)
    for radius in smoothed.certify(x, 40, 200, seed=3).radius:
        assert withstands(int(radius), "pixels") in told
    assert told.count("%") == 2
    assert not parts(folder)
    Image.new("L", (9, 8)).save(paths[0])
    fails("expected the images of 'the new images' to have one shape", "classify", folder, *paths)
    fails("expected new inputs of shape (1, 8, 8)", "classify", folder, paths[0])
    fails("cannot read", "classify", folder, tmp_path / "none.png")
    paths[0].write_text("no image")
    fails("not an image", "classify", folder, paths[0])


def test_a_partition_classifies_without_chance(family_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("L", (8, 8), 128).save(path)
    run("classify", family_folder, path, "--rule", "run-off", "--json")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([["mean radius"], ["1"]], "none called mean texture, mean perimeter"),
        ([["mean radius"]], "as a CSV file: a line of names"),
        ([["a", "b"], ["1"]], "as many values in each line"),
        ([], "as a CSV file"),
    ],
)
def test_tables_that_do_not_fit_are_told(
    lines: list[list[str]], sentence: str, table_run: Path, tmp_path: Path, fails: Fails
) -> None:
    path = tmp_path / "new.csv"
    with path.open("w") as file:
        csv.writer(file).writerows(lines)
    fails(sentence, "classify", table_run, path)
    fails("expected one CSV file", "classify", table_run, path, path)


def test_text_is_no_feature(
    table_run: Path, rows: pd.DataFrame, tmp_path: Path, fails: Fails
) -> None:
    table = rows.astype(object)
    table.loc[0, "mean radius"] = "big"
    table.to_csv(tmp_path / "new.csv", index=False)
    fails("expected numbers as features", "classify", table_run, tmp_path / "new.csv")
    with pytest.raises(sc.InputError, match="expected rows of numbers"):
        sc.inputs_for(table_run, table)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    app(["completion", shell], result_action="return_value")
    script = capsys.readouterr().out
    for word in ("certify", "num-samples", "completion"):
        assert word in script
