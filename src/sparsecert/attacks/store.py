"""Attacks on disk: a Parquet part per attacked image, written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsecert.attacks.attack import AttackResult
from sparsecert.attacks.plan import AttackPlan
from sparsecert.errors import InputError
from sparsecert.json_values import check_types
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
        input_shape: of an attacked input.
        num_classes: number of classes.
        num_images: of the data set; None where it is not known.
    """

    def __init__(
        self,
        folder: Path,
        input_shape: tuple[int, ...],
        num_classes: int,
        num_images: int | None = None,
    ) -> None:
        super().__init__(folder, num_images)
        self.input_shape, self.num_classes = input_shape, num_classes

    def _settings(self, values: Mapping[str, Any]) -> AttackSettings:
        names = {"fingerprint": str, "dataset_fingerprint": str}
        check_types(values, names | {"plan": {}}, "the settings")
        try:
            plan = AttackPlan.from_json(values["plan"]).to_json()
        except (TypeError, KeyError) as error:
            raise InputError(f"expected the plan of an attack ({error})") from error
        return AttackSettings(plan=plan, **{name: values[name] for name in names})

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
