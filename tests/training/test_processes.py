"""Training on several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
TRAIN = ["-m", "sparsecert", "train", "--data", "digits", "--retained", "12"]


def train(path: Path, *words: str, processes: int) -> dict[str, torch.Tensor]:
    launch = LAUNCH if processes == 2 else []
    command = [sys.executable, *launch, *TRAIN, "--out", str(path), *words]
    subprocess.run(command, check=True, timeout=300)
    return load_file(path / "model.safetensors")


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    """Each takes every second example of a minibatch, with the masks it would have had."""
    one, two = tmp_path / "one", tmp_path / "two"
    ours = train(one, "--epochs", "3", processes=1)
    theirs = train(two, "--epochs", "3", processes=2)
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, atol=2e-4, rtol=2e-3)
    logs = [(path / "train.jsonl").read_text().splitlines() for path in (one, two)]
    assert len(logs[0]) == len(logs[1]) == 3


def test_two_processes_train_for_a_radius_what_one_trains(tmp_path: Path) -> None:
    start = train(tmp_path / "start", "--epochs", "3", processes=1)
    words = ["--recipe", "radius", "--radius", "1", "--epochs", "1"]
    words += ["--start", str(tmp_path / "start")]
    ours = train(tmp_path / "one", *words, processes=1)
    theirs = train(tmp_path / "two", *words, processes=2)
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, atol=2e-4, rtol=2e-3)
    assert any(not torch.equal(ours[name], start[name]) for name in ours)
