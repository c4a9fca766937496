"""Families of contiguous sets: bands of columns or rows, blocks, windows of a vector.

A patch or a run of changed entries touches few of them, where it touches every set that is spread
over the input. (Levine and Feizi, NeurIPS 2020, "(De)Randomized smoothing for certifiable defense
against patch attacks", for images.) A set that would end beyond the input goes on at its other
end, so that every feature is in equally many sets.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from sparsecert.designs.design import option
from sparsecert.designs.family import FamilyDesign, FixedAblation
from sparsecert.errors import InputError, as_integer

_MOST_PLACES = 2**26  # of all sets in inputs
BAND_LAYOUTS = ("columns", "rows", "block", "window")


def column_bands(image_shape: tuple[int, int], width: int) -> FixedAblation:
    """Every band of `width` neighbouring columns, by its first column.

    Raises:
        InputError: for a width of no band.
    """
    return _blocks(image_shape, (image_shape[0], width), "columns")


def row_bands(image_shape: tuple[int, int], height: int) -> FixedAblation:
    """Every band of `height` neighbouring rows, by its first row.

    Raises:
        InputError: for a height of no band.
    """
    return _blocks(image_shape, (height, image_shape[1]), "rows")


def square_blocks(image_shape: tuple[int, int], side: int) -> FixedAblation:
    """Every square of that side, by its first pixel.

    Raises:
        InputError: for a side of no square in the image.
    """
    return _blocks(image_shape, (side, side), "block")


def contiguous_windows(num_features: int, length: int) -> FixedAblation:
    """Every run of `length` neighbouring entries of a vector, by its first entry.

    Raises:
        InputError: for a length of no window.
    """
    return FixedAblation(
        _memberships(crops((1, num_features), (1, length), "window"), num_features)
    )


def crops(
    shape: tuple[int, int], size: tuple[int, int], layout: str
) -> Int[np.ndarray, "sets height width"]:
    """The pixels of every block of that size, in their order in the block.

    Where a block is as high or as wide as the image, it begins at the first row or column only.

    Args:
        shape: height and width of the image; of a vector (1, its length).
        size: of the blocks.
        layout: what to call them where the size is out of range.
    """
    sides = [as_integer(side, "a side of the input") for side in shape]
    spans = [as_integer(span, f"the size of {layout}") for span in size]
    if not all(1 <= span <= side for span, side in zip(spans, sides, strict=True)):
        raise InputError(
            f"expected the size of {layout} to be between 1 and the side of the input, got "
            f"{size[0]} x {size[1]} in {shape[0]} x {shape[1]}"
        )
    number = math.prod(1 if span == side else side for span, side in zip(spans, sides, strict=True))
    if number * math.prod(sides) > _MOST_PLACES:
        raise InputError(
            f"expected fewer sets than {number} of {layout}, for inputs of {math.prod(sides)}"
        )
    rows, columns = (
        (np.arange(1 if span == side else side)[:, None] + np.arange(span)) % side
        for span, side in zip(spans, sides, strict=True)
    )
    pixels = rows[:, None, :, None] * sides[1] + columns[None, :, None, :]
    return pixels.reshape(-1, *spans)


def _blocks(shape: tuple[int, int], size: tuple[int, int], layout: str) -> FixedAblation:
    pixels = crops(shape, size, layout)
    return FixedAblation(_memberships(pixels, shape[0] * shape[1]), shape)


def _memberships(pixels: NDArray[np.int64], num_features: int) -> NDArray[np.bool_]:
    sets = np.zeros((len(pixels), num_features), dtype=np.bool_)
    np.put_along_axis(sets, pixels.reshape(len(pixels), -1), True, axis=1)
    return sets


@dataclass(frozen=True)
class Bands(FamilyDesign):
    """Every contiguous set of one size; one ballot per set.

    Attributes:
        num_features: d; a pixel is one feature, whatever its channels.
        layout: "columns:S", "rows:S" or "block:S" of images, "window:S" of vectors; S is the
            number of columns, rows, pixels of a side, or entries.
        image_shape: height and width; None for feature vectors.

    Raises:
        InputError: for an unknown layout, one that is not for such inputs, or a size out of range.
    """

    num_features: int
    layout: str = option("layout", "columns:S, rows:S or block:S of images, window:S of vectors.")
    image_shape: tuple[int, int] | None = None
    name: ClassVar[str] = "bands"

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_features", as_integer(self.num_features, "num_features"))
        _ = self.crops  # says what is wrong with the layout

    def __str__(self) -> str:
        return f"{len(self.crops)} sets {self.layout} of {self.num_features}"

    @cached_property
    def crops(self) -> Int[np.ndarray, "sets height width"]:
        """The units of every set, as a block of the input."""
        kind, _, digits = self.layout.partition(":")
        if kind not in BAND_LAYOUTS or not re.fullmatch(r"[0-9]{1,9}", digits):
            raise InputError(
                f"expected layout to be one of {', '.join(f'{k}:S' for k in BAND_LAYOUTS)} with a "
                f"number S, got {self.layout!r}"
            )
        if (kind == "window") != (self.image_shape is None):
            raise InputError(
                "expected columns, rows or block for images, and window for vectors, got "
                f"{self.layout!r}"
            )
        height, width = self.image_shape or (1, self.num_features)
        size = int(digits)
        sizes = {"columns": (height, size), "rows": (size, width), "block": (size, size)}
        return crops((height, width), sizes.get(kind, (1, size)), kind)

    @cached_property
    def ablation(self) -> FixedAblation:
        """The family."""
        return FixedAblation(_memberships(self.crops, self.num_features), self.image_shape)
