"""Fixed families of retained sets: the same sets for every input, so nothing is left to chance.

The smoothed classifier casts one ballot per set, all of them, and its certificates hold with
probability one. A partition, whose sets do not overlap, is the family of Feature Partition
Aggregation (Hammoudeh and Lowd, AAAI 2024); several partitions side by side give more ballots.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from sparsecert.designs.design import option
from sparsecert.designs.subsets import draw_subsets
from sparsecert.designs.uniform import UniformAblation
from sparsecert.designs.units import PixelUnits, checked_units
from sparsecert.errors import InputError, as_integer
from sparsecert.streams import Stage, stream
from sparsecert.streams.samples import Samples
from sparsecert.theory.coverage import most_touched_sets


@dataclass(frozen=True, eq=False)
class FixedAblation(PixelUnits):
    """A family of retained sets. Two with the same sets in the same order are equal.

    Attributes:
        membership: `(num_sets, num_features)` booleans: entry (t, i) says whether set t retains
            entry i, a pixel or column. An entry may be in several sets, or in none.
        units: what a radius counts, where it is not entries: the unit of each, 0 to d - 1, or -1
            if nobody can attack it. Entries of a unit need not be in the same sets.
        image_shape: height and width, whose product is the number of features, for threats that
            ask where a pixel lies; None for feature vectors, or where it is not known.

    Raises:
        InputError: for anything but booleans in two dimensions, a set that retains nothing, or an
            image of another number of pixels.
    """

    membership: NDArray[np.bool_]
    image_shape: tuple[int, int] | None = None
    units: Any = None

    def __post_init__(self) -> None:
        sets = np.array(self.membership)
        if sets.ndim != 2 or sets.dtype != np.bool_:
            raise InputError(
                "expected membership as booleans of shape (num_sets, num_features), "
                f"got {sets.dtype} of shape {sets.shape}"
            )
        if not len(sets) or not sets.any(axis=1).all():
            raise InputError("expected at least one set, and at least one feature in each")
        if self.units is not None:
            object.__setattr__(self, "units", checked_units(self.units))
            if len(self.units) != sets.shape[1]:
                raise InputError(
                    f"expected a unit for each of {sets.shape[1]} entries, got {len(self.units)}"
                )
        if self.image_shape is not None and math.prod(self.image_shape) != sets.shape[1]:
            raise InputError(
                f"expected image_shape as a height and width of {sets.shape[1]} pixels, got "
                f"{self.image_shape}"
            )
        sets.flags.writeable = False
        object.__setattr__(self, "membership", sets)

    def __str__(self) -> str:
        sizes = self.membership.sum(axis=1)
        return f"{self.num_sets} sets of {sizes.min()} to {sizes.max()} of {self.num_features}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FixedAblation):
            return NotImplemented
        same_units = self.units == other.units
        return same_units and np.array_equal(self.membership, other.membership)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def num_sets(self) -> int:
        """N, ballots per input."""
        return len(self.membership)

    @property
    def num_features(self) -> int:
        """The number d of units; a pixel is one, whatever its channels, unless they are given."""
        return self.num_entries if self.units is None else max(self.units) + 1

    @property
    def num_entries(self) -> int:
        """Pixels or columns of an input."""
        return int(self.membership.shape[1])

    @cached_property
    def touched(self) -> Bool[np.ndarray, "sets units"]:
        """Which sets retain anything of a unit, and so change with it."""
        if self.owner is None:
            return self.membership
        return np.stack(
            [
                self.membership[:, self.owner == unit].any(axis=1)
                for unit in range(self.num_features)
            ],
            axis=1,
        )

    def draw(self, samples: Samples) -> Bool[np.ndarray, "samples features"]:
        """Draw sets of the family, each equally likely; training of one network for all."""
        chosen = draw_subsets(samples, self.num_sets, 1).argmax(axis=1)
        sets: NDArray[np.bool_] = self.membership[chosen]
        return sets

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the family: shape and content, the same anywhere."""
        shape = f"{self.num_sets} x {self.num_features}:".encode()
        content = np.packbits(self.membership).tobytes()
        content += b"" if self.owner is None else self.owner.astype("<i8").tobytes()
        return hashlib.sha256(shape + content).hexdigest()[:16]

    @cached_property
    def columns(self) -> Bool[np.ndarray, "sets columns"]:
        """The different columns of `touched`, without zero.

        To an attacker two features in the same sets are worth as much as one, and a feature in no
        set is worth nothing.
        """
        different = np.unique(self.touched, axis=1)
        return different[:, different.any(axis=0)]

    @cached_property
    def most_touched(self) -> Int[np.ndarray, " columns_and_none"] | None:
        """The overlap bound of the family; see `theory.coverage.most_touched_sets`."""
        return most_touched_sets(self.columns)


def check_family(ablation: object) -> None:
    """Raise `InputError`, with the way to go, for anything but a fixed family."""
    if not isinstance(ablation, FixedAblation):
        raise InputError(
            f"expected a FixedAblation, got {type(ablation).__name__}; for designs that draw "
            "samples there are certify_tally and SmoothedClassifier"
        )


def strided_partition(num_features: int, num_sets: int) -> FixedAblation:
    """The partition into `num_sets` sets of every num_sets-th feature.

    Raises:
        InputError: unless 1 <= num_sets <= num_features.
    """
    d, n = _checked(num_features, num_sets, 1)
    return _from_owners(np.arange(d)[None, :] % n, n)


def random_partitions(
    num_features: int, num_sets: int, copies: int = 1, seed: int = 0
) -> FixedAblation:
    """`copies` independent partitions into `num_sets` random sets, as equal in size as can be.

    Raises:
        InputError: unless 1 <= num_sets <= num_features and copies >= 1.
    """
    d, n = _checked(num_features, num_sets, copies)
    generator = stream(seed, Stage.RETAINED_SETS, 0)
    return _from_owners(np.stack([generator.permutation(d) % n for _ in range(copies)]), n)


def stratified_partitions(
    image_shape: tuple[int, int], num_sets: int, copies: int = 1, seed: int = 0
) -> FixedAblation:
    """`copies` partitions whose sets take one pixel from every block of the image.

    The image is cut into blocks of `num_sets` pixels, as square as can be, and each block deals its
    pixels to the sets at random, one each. A last block with fewer pixels gives to some sets only.

    Args:
        image_shape: height and width.
        num_sets: sets per partition, and pixels per block.
        copies: partitions, which differ in how the blocks deal.
        seed: of the dealing.

    Returns:
        A family of copies * num_sets sets, one partition after the other.

    Raises:
        InputError: unless 1 <= num_sets <= height * width and copies >= 1.
    """
    if np.shape(image_shape) != (2,):
        raise InputError(f"expected image_shape as height and width, got {image_shape!r}")
    height, width = (as_integer(side, "a side of the image") for side in image_shape)
    d, n = _checked(height * width, num_sets, copies)
    order = _block_order(height, width, n)
    generator = stream(seed, Stage.RETAINED_SETS, 0)
    owners = np.empty((copies, d), dtype=np.int64)
    for copy in owners:
        for start in range(0, d, n):
            block = order[start : start + n]
            copy[block] = generator.permutation(n)[: len(block)]
    return replace(_from_owners(owners, n), image_shape=(height, width))


def _block_order(height: int, width: int, block: int) -> NDArray[np.int64]:
    """Pixels in an order in which every run of `block` pixels lies close together.

    The image is cut into bands about as high as a square of `block` pixels, and each band is read
    column by column, every other band from its right end.
    """
    pixels = np.arange(height * width).reshape(height, width)
    bands = np.array_split(pixels, max(1, round(height / math.sqrt(block))))
    return np.concatenate(
        [(band[:, ::-1] if number % 2 else band).T.ravel() for number, band in enumerate(bands)]
    )


def _from_owners(owners: Int[np.ndarray, "copies features"], num_sets: int) -> FixedAblation:
    """Partitions from the set that each feature belongs to."""
    return FixedAblation(
        np.concatenate([np.arange(num_sets)[:, None] == copy[None, :] for copy in owners])
    )


def _checked(num_features: int, num_sets: int, copies: int) -> tuple[int, int]:
    d, n = as_integer(num_features, "num_features"), as_integer(num_sets, "num_sets")
    if as_integer(copies, "copies") < 1:
        raise InputError(f"expected copies to be at least 1, got {copies}")
    if not 1 <= n <= d:
        raise InputError(f"expected num_sets between 1 and num_features = {d}, got {num_sets}")
    return d, n


@dataclass(frozen=True)
class FamilyDesign(PixelUnits, ABC):
    """What the designs of fixed families have in common."""

    rules: ClassVar[tuple[str, ...]] = ("plurality", "run-off", "pairwise")
    encodings: ClassVar[tuple[str, ...]] = UniformAblation.encodings
    retains: ClassVar[bool] = True
    architecture: ClassVar[str | None] = "subset-ensemble"

    @property
    @abstractmethod
    def ablation(self) -> FixedAblation:
        """The family."""

    def draw(self, samples: Samples) -> Bool[np.ndarray, "samples features"]:
        """Draw sets of the family; see `FixedAblation.draw`."""
        return self.ablation.draw(samples)


LAYOUTS = ("strided", "random", "stratified")


@dataclass(frozen=True)
class Partitions(FamilyDesign):
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
    num_sets: int = option("sets", "sets of each partition.")
    copies: int = option("copies", "number of partitions; 1.", 1)
    layout: str = option(
        "layout", "which units make a set: strided, random or stratified.", "strided"
    )
    image_shape: tuple[int, int] | None = None
    family_seed: int = 0
    name: ClassVar[str] = "partition"

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
            family = strided_partition(d, n)
        elif self.image_shape is None or self.layout == "random":
            family = random_partitions(d, n, self.copies, self.family_seed)
        else:
            return stratified_partitions(self.image_shape, n, self.copies, self.family_seed)
        return replace(family, image_shape=self.image_shape)


def family_of(design: object) -> FixedAblation:
    """The sets of a fixed design; raises `InputError` for one that draws samples."""
    if not isinstance(design, FamilyDesign):
        raise InputError(f"expected a run with a design of a fixed family, got {design}")
    return design.ablation
