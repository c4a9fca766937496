"""Which columns of Parquet and CSV folders are features, and what is said of the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsecert import data
from sparsecert.errors import InputError
from tests.helpers.commands import Fails, Output, run

pytestmark = pytest.mark.usefixtures("own_cache")

NAMES = ("age", "pressure", "smokes")


def patients(seed: int, size: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.integers(20, 90, size),
            "ward": rng.choice(["north", "south"], size),
            "pressure": rng.normal(120, 10, size),
            "group": pd.Categorical(rng.choice(["a", "b"], size)),
            "smokes": rng.integers(0, 2, size).astype(bool),
            "label": np.arange(size) % 2,
        }
    )
    return table.sample(frac=1, random_state=seed)  # so that the index has to be stored


def write(folder: Path, kind: str, index: str | None = None) -> Path:
    folder.mkdir()
    for seed, split in enumerate(("train", "test")):
        table = patients(seed).rename_axis(index)
        getattr(table, f"to_{kind}")(folder / f"{split}.{kind}")
    return folder


@pytest.mark.parametrize(
    ("kind", "index", "told"),
    [
        ("parquet", None, "__index_level_0__ (index)"),
        ("parquet", "patient", "patient (index)"),
        ("csv", None, "Unnamed: 0 (index)"),
    ],
)
def test_the_index_text_and_categories_are_no_features_and_that_is_said(
    kind: str, index: str | None, told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "table", kind, index)
    with pytest.warns(data.UnusedColumnsWarning) as warned:
        dataset = data.load(str(path), "train")
    words = str(warned[0].message)
    for part in (told, "ward (", "group (", "the 3 features are age, pressure, smokes."):
        assert part in words
    assert dataset.feature_range is not None
    assert dataset.feature_range.names == NAMES
    assert dataset.input_shape == (3,)


def test_a_run_knows_its_features_by_name(tmp_path: Path, output: Output, fails: Fails) -> None:
    path = write(tmp_path / "table", "parquet")
    with pytest.warns(data.UnusedColumnsWarning):
        trained = data.load(str(path), "train")
    other = tmp_path / "other"
    other.mkdir()
    for seed, split in enumerate(("train", "test")):  # another order, and a column more
        table = patients(seed).assign(weight=70.0)[["weight", "smokes", "pressure", "age", "label"]]
        table.to_parquet(other / f"{split}.parquet", index=False)
    again = data.load(str(other), "test", trained.feature_range)
    np.testing.assert_array_equal(
        again.inputs, data.load(str(path), "test", trained.feature_range).inputs
    )
    assert trained.feature_range is not None
    unknown = dataclasses.replace(trained.feature_range, names=("age", "height", "smokes"))
    with pytest.raises(InputError, match="no numbers called height"):
        data.load(str(other), "test", unknown)
    folder = tmp_path / "run"
    words = ("train", "--data", other, "--epochs", 1, "--out", folder, "--retained")
    run(*words, 2)
    run("info", folder)
    assert "features │ 4: weight, smokes, pressure, age" in output()
    error = fails("holds another run", *words, 3)
    (other / "train.parquet").unlink()
    patients(5).assign(weight=75.0)[["weight", "smokes", "pressure", "age", "label"]].to_parquet(
        other / "train.parquet", index=False
    )
    error = fails("feature_range low (70.0, 0.0, ", *words, 2)
    assert ", ...)" in error


def test_rows_without_a_label_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    table = patients(0)[["age", "label"]].astype({"label": "Int64"})
    table.loc[3, "label"] = None
    for split in ("train", "test"):
        table.to_parquet(folder / f"{split}.parquet", index=False)
    with pytest.raises(InputError, match="a label in every row"):
        data.load(str(folder), "train")
