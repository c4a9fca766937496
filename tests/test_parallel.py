"""Training on several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
TRAIN = ["-m", "sparsecert", "train", "--data", "digits", "--retained", "12", "--epochs", "3"]


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    """Each takes every second example of a minibatch, with the masks it would have had."""
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, *TRAIN, "--out", str(one)], check=True)
    subprocess.run([sys.executable, *LAUNCH, *TRAIN, "--out", str(two)], check=True, timeout=300)
    ours, theirs = (load_file(path / "model.safetensors") for path in (one, two))
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, atol=2e-4, rtol=2e-3)
    logs = [(path / "train.jsonl").read_text().splitlines() for path in (one, two)]
    assert len(logs[0]) == len(logs[1]) == 3
