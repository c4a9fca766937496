"""Attacks on disk: a Parquet part per attacked image, written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsecert.attacks.attack import AttackResult
from sparsecert.data import Dataset
from sparsecert.errors import InputError
from sparsecert.votes.store import VoteSettings, VoteStore


@dataclass(frozen=True)
class AttackSettings(VoteSettings):
    """What a result depends on, beside the image.

    Attributes:
        plan: the attack and its options, as JSON values.
    """

    plan: dict[str, Any]

    @property
    def name(self) -> str:
        """How the names of files begin."""
        return str(self.plan["attack"])


class AttackStore(VoteStore[AttackSettings, AttackResult]):
    """The `attacks` folder of a run.

    Args:
        folder: where the parts are.
        dataset: the attacked split.
    """

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        super().__init__(folder, len(dataset))
        self.input_shape, self.num_classes = dataset.input_shape, dataset.num_classes

    def _columns(self, votes: AttackResult) -> dict[str, NDArray[Any]]:
        columns = {field.name: getattr(votes, field.name) for field in fields(votes)}
        return columns | {"adversarial": votes.adversarial.float().flatten(1).cpu().numpy()}

    def _widths(self, settings: AttackSettings) -> dict[str, int]:
        numbers = dict.fromkeys((field.name for field in fields(AttackResult)), 1)
        return numbers | {"adversarial": math.prod(self.input_shape)}

    def _decoded(self, columns: dict[str, NDArray[Any]], settings: AttackSettings) -> AttackResult:
        images, *numbers = (columns[field.name] for field in fields(AttackResult))
        shown = torch.from_numpy(images.reshape(-1, *self.input_shape).copy())
        result = AttackResult(shown.float(), *numbers)
        integers = all(np.issubdtype(array.dtype, np.integer) for array in numbers)
        if not integers or any(array.min(initial=0) < -1 for array in numbers):
            raise InputError("expected what attacks count as integers of at least -1")
        if result.label.max(initial=0) >= self.num_classes:
            raise InputError(f"expected labels below {self.num_classes}, got {result.label.max()}")
        return result

    def _empty(self, settings: AttackSettings) -> AttackResult:
        none = np.empty((len(fields(AttackResult)) - 1, 0), dtype=np.int64)
        return AttackResult(torch.empty(0, *self.input_shape), *none)

    def _concatenated(self, votes: Sequence[AttackResult]) -> AttackResult:
        images = torch.cat([part.adversarial.cpu() for part in votes])
        numbers = (
            np.concatenate([getattr(part, field.name) for part in votes])
            for field in fields(AttackResult)[1:]
        )
        return AttackResult(images, *numbers)
