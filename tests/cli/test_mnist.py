"""The paper's data set, where it is at hand."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from sparsecert.data import DATA_VARIABLE
from tests.helpers.commands import log, record, run

MNIST = Path(os.environ.get(DATA_VARIABLE, "")) / "mnist"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not MNIST.is_dir(), reason=f"no mnist in ${DATA_VARIABLE}"),
]


def one_epoch(recipe: str, folder: Path) -> dict[str, float]:
    """Train for one epoch; returns its line of the log."""
    train = ["train", "--data", "mnist", "--retained", 45, "--recipe", recipe]
    run(*train, "--epochs", 1, "--out", folder)
    (epoch,) = log(folder)
    return epoch


def test_one_fast_epoch_certifies_something(tmp_path: Path) -> None:
    assert one_epoch("fast", tmp_path / "run")["ablated_accuracy"] > 0.4
    small = ["--limit", 40, "--num-selection", 100, "--num-samples", 1000]
    run("certify", tmp_path / "run", *small)
    result = record(tmp_path / "run")
    assert result["accuracy"] > 0.7
    assert len(result["certified_accuracy"]) > 4


def test_one_epoch_of_the_papers_recipe_starts_to_learn(tmp_path: Path) -> None:
    """With its small rate and no normalisation it takes several epochs to leave chance."""
    epoch = one_epoch("paper", tmp_path / "run")
    assert 2 < epoch["loss"] < math.log(10)
