"""The state of unfinished training in one safetensors file: tensors and a JSON header, no code.

The header holds a checksum, so that a flipped bit does not become a trained network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from sparsecert import files
from sparsecert.errors import RunFolderError
from sparsecert.json_values import build


@dataclass
class Progress:
    """Where training stands. The sums are those of the current epoch.

    Attributes:
        step: steps done.
        loss_sum: of the losses of the examples.
        correct: ablated examples classified correctly.
        examples: examples seen.
        seconds: spent on training so far, over all starts.
        num_processes: that share each minibatch, which decides what a step is.
    """

    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    examples: int = 0
    seconds: float = 0.0
    num_processes: int = 1

    @property
    def loss(self) -> float:
        """Mean loss in this epoch."""
        return self.loss_sum / self.examples

    @property
    def ablated_accuracy(self) -> float:
        """Share of the ablated examples of this epoch that were classified correctly."""
        return self.correct / self.examples

    def start_epoch(self) -> None:
        """Reset the sums."""
        self.loss_sum, self.correct, self.examples = 0.0, 0, 0


def save_checkpoint(
    path: Path,
    models: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    progress: Progress,
) -> None:
    """Write models, by name, optimiser and progress atomically."""
    tensors = {
        f"{kind}/{name}": value
        for kind, model in models.items()
        for name, value in model.state_dict().items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    described = json.dumps(asdict(progress))
    metadata = {"progress": described, "sha256": _checksum(tensors, described)}
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def load_checkpoint(
    path: Path, models: Mapping[str, nn.Module], optimizer: optim.Optimizer
) -> Progress:
    """Restore models and optimiser in place; returns where training stood.

    Raises:
        RunFolderError: if the file is damaged or belongs to another model.
    """
    weights: dict[str, dict[str, Tensor]] = {kind: {} for kind in models}
    state: dict[int, dict[str, Any]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
        described = metadata["progress"]
        progress = build(Progress, json.loads(described))
        checksum = _checksum(tensors, described)
        if metadata.get("sha256", checksum) != checksum:  # older ones have none
            raise ValueError("its checksum is another")
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            if kind == "optimizer":
                index, entry = name.split("/")
                state.setdefault(int(index), {})[entry] = value
            else:
                weights[kind][name] = value
        for kind, model in models.items():
            model.load_state_dict(weights[kind])
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        _order_as_parameters(optimizer)
    except (
        OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError, AttributeError
    ) as error:  # fmt: skip
        raise RunFolderError(
            f"the checkpoint {path} is damaged or of another model: {error}. "
            "Remove it to train from the start"
        ) from error
    return progress


def _checksum(tensors: Mapping[str, Tensor], described: str) -> str:
    """Of the tensors, their names and shapes, and of the progress."""
    digest = hashlib.sha256(described.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _order_as_parameters(optimizer: optim.Optimizer) -> None:
    """Lay the state out in memory as the parameters are.

    Fused optimisers pair the numbers of both by their places in memory, without a check.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape not in (parameter.shape, ()):
                raise ValueError(f"{name} has the shape {tuple(value.shape)}")
            if value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
