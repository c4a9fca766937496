"""A fixed design: partitions of the features, by a few numbers that a run folder can hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from sparsecert.designs.family import (
    FixedAblation,
    random_partitions,
    stratified_partitions,
    strided_partition,
)
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError, as_integer

LAYOUTS = ("strided", "random", "stratified")


@dataclass(frozen=True)
class Partitions:
    """`copies` partitions of the features into `num_sets` sets each; one ballot per set.

    Attributes:
        num_features: d; a pixel is one feature, whatever its channels.
        num_sets: sets of one partition.
        copies: number of partitions.
        layout: "strided" (one copy), "random", or "stratified" for images.
        image_shape: height and width; None for feature vectors.
        family_seed: of the random layouts.

    Raises:
        InputError: for an unknown layout, numbers out of range, several strided copies, or
            stratified vectors.
    """

    num_features: int
    num_sets: int
    copies: int = 1
    layout: str = "strided"
    image_shape: tuple[int, int] | None = None
    family_seed: int = 0
    name: ClassVar[str] = "partition"
    rules: ClassVar[tuple[str, ...]] = ("plurality", "run-off", "pairwise")
    retains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("num_features", "num_sets", "copies", "family_seed"):
            object.__setattr__(self, name, as_integer(getattr(self, name), name))
        if self.layout not in LAYOUTS:
            raise InputError(
                f"expected layout to be one of {', '.join(LAYOUTS)}, got {self.layout!r}"
            )
        if self.layout == "strided" and self.copies != 1:
            raise InputError(
                f"expected one copy of the strided partition, got {self.copies}; its copies would "
                "be the same: choose the layout random or stratified"
            )
        if self.layout == "stratified" and self.image_shape is None:
            raise InputError("expected images for the layout stratified; choose random for vectors")
        _ = self.ablation  # says what is wrong with the numbers

    def __str__(self) -> str:
        times = "" if self.copies == 1 else f"{self.copies} times "
        return f"{times}{self.num_sets} {self.layout} sets of {self.num_features}"

    @cached_property
    def ablation(self) -> FixedAblation:
        """The family."""
        d, n = self.num_features, self.num_sets
        if self.layout == "strided":
            return strided_partition(d, n)
        if self.image_shape is None or self.layout == "random":
            return random_partitions(d, n, self.copies, self.family_seed)
        return stratified_partitions(self.image_shape, n, self.copies, self.family_seed)

    # A feature is what it is to a random ablation.
    features_of = staticmethod(UniformAblation.features_of)
    unit = staticmethod(UniformAblation.unit)

    def draw(
        self, generator: np.random.Generator, num_samples: int
    ) -> Bool[np.ndarray, "samples features"]:
        """Draw sets of the family, each equally likely; training of one network for all."""
        return self.ablation.membership[
            generator.integers(self.ablation.num_sets, size=num_samples)
        ]
