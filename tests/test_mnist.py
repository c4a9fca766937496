"""The paper's data set, where it is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sparsecert import cli
from sparsecert.data import DATA_VARIABLE

MNIST = Path(os.environ.get(DATA_VARIABLE, "")) / "mnist"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no mnist in ${DATA_VARIABLE}")
@pytest.mark.parametrize(("recipe", "accuracy"), [("fast", 0.85), ("paper", 0.5)])
def test_one_epoch_of_mnist_certifies_something(
    tmp_path: Path, recipe: str, accuracy: float
) -> None:
    out = str(tmp_path / "run")
    train = ["train", "--data", "mnist", "--retained", "45", "--recipe", recipe]
    cli.main([*train, "--epochs", "1", "--out", out])
    cli.main(["certify", out, "--limit", "40", "--num-selection", "100", "--num-samples", "1000"])
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["accuracy"] > accuracy
    assert len(record["certified_accuracy"]) > 4
