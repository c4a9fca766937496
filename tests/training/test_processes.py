"""Training on several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.commands import log, train

LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]


@pytest.mark.parametrize("recipe", ["fast", "radius"])
def test_two_processes_train_what_one_trains(recipe: str, digits_run: Path, tmp_path: Path) -> None:
    """Each takes every second example of a minibatch, with the masks it would have had."""
    words: list[object] = ["--retained", 12, "--recipe", recipe, "--epochs", 2]
    if recipe == "radius":
        words += ["--radius", 1, "--start", digits_run]
    one, two = train(tmp_path / "one", *words), tmp_path / "two"
    command = [*LAUNCH, "-m", "sparsecert", "train", "--data", "digits", *words, "--out", two]
    subprocess.run([sys.executable, *map(str, command)], check=True, timeout=300)
    ours, theirs = (load_file(path / "model.safetensors") for path in (one, two))
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, atol=2e-4, rtol=2e-3)
    assert len(log(one)) == len(log(two)) == 2
    if recipe == "radius":
        start = load_file(digits_run / "model.safetensors")
        assert any(not torch.equal(ours[name], start[name]) for name in ours)
