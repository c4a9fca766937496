"""What a radius counts: pixels or columns, or groups of them, and entries that nobody can attack.

Nothing in Theorem 1 is about pixels. Let every entry of an input belong to one of d units, or to
none because nobody can change it: such entries are always shown. A retained set is a set of units,
whose entries are shown together, and rho counts units.

Proof. Write an input as u = (u_1, ..., u_d) with what cannot be attacked as a constant. What the
base classifier is shown is a function of the retained u_i and the constant, so two inputs that
differ in rho units give the same ballot unless the retained set meets those units. That is all
that Theorem 1, the corollaries and the proofs for fixed families ask.  QED
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError, as_integer

PROTECTED = -1


class PixelUnits:
    """A unit is a pixel, whatever its channels, or an entry of a feature vector.

    A design may group them: its `units` then says which unit each belongs to.
    """

    num_features: Any
    units: Any = None

    @property
    def num_entries(self) -> int:
        """Pixels or columns of an input."""
        return int(self.num_features) if self.units is None else len(self.units)

    @staticmethod
    def features_of(input_shape: tuple[int, ...]) -> int:
        """Count the pixels of an image, or entries of a vector."""
        return int(np.prod(input_shape[-2:]))

    def unit(self, input_shape: tuple[int, ...]) -> str:
        """What a radius counts, in the plural."""
        is_image = len(input_shape) == 3
        if self.units is not None:
            return "units" if is_image else "groups"
        return "pixels" if is_image else "features"

    @cached_property
    def owner(self) -> NDArray[np.int64] | None:
        """`(entries,)` unit of each, or `PROTECTED`; None where every entry is a unit."""
        return None if self.units is None else np.array(self.units, dtype=np.int64)


def checked_units(units: Any) -> tuple[int, ...]:
    """The unit of each entry, flat.

    Args:
        units: integers, of the shape of an image without channels or of a vector.

    Raises:
        InputError: for what is no integer or below `PROTECTED`, or a number below the highest that
            no entry has.
    """
    array = np.asarray(units)
    if not array.size or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            "expected units as integers, one for each pixel or column, got "
            f"{array.dtype} of shape {array.shape}"
        )
    flat = array.astype(np.int64).ravel()
    found = np.unique(flat)
    attacked = found[found != PROTECTED]
    if not np.array_equal(attacked, np.arange(len(attacked))) or not len(attacked):
        raise InputError(
            "expected units numbered 0, 1, ... with none left out, and -1 for entries that nobody "
            f"can attack, got {_few(found)}"
        )
    return tuple(flat.tolist())


def check_num_units(num_features: int, units: tuple[int, ...] | None) -> None:
    """Raise `InputError` where d is not the number of units."""
    if units is not None and num_features != max(units) + 1:
        raise InputError(
            f"expected num_features to be the number of units, {max(units) + 1}, got {num_features}"
        )


def patch_units(image_shape: tuple[int, int], side: int) -> NDArray[np.int64]:
    """Units that are square patches; the last of a row or column are cut off by the border.

    Args:
        image_shape: height and width.
        side: of a patch, in pixels.

    Returns:
        `(height, width)` unit of each pixel.

    Raises:
        InputError: for a side under 1.
    """
    height, width = (as_integer(number, "a side of the image") for number in image_shape)
    if as_integer(side, "the side of a patch") < 1:
        raise InputError(f"expected patches of at least 1 pixel a side, got {side}")
    rows, columns = np.arange(height) // side, np.arange(width) // side
    patches: NDArray[np.int64] = rows[:, None] * (columns[-1] + 1) + columns[None, :]
    return patches


def protect(units: Any, entries: Any) -> NDArray[np.int64]:
    """The units without some entries, numbered anew.

    Args:
        units: of each entry.
        entries: numbers of those that nobody can attack, as of the flat array.

    Raises:
        InputError: for entries that are not there, or where none is left.
    """
    owner, chosen = np.array(units), np.asarray(entries)
    if chosen.size and not (
        np.issubdtype(chosen.dtype, np.integer) and 0 <= chosen.min() <= chosen.max() < owner.size
    ):
        raise InputError(f"expected entries from 0 to {owner.size - 1}, got {_few(chosen)}")
    owner.reshape(-1)[chosen.astype(np.int64)] = PROTECTED
    left = owner != PROTECTED
    if not left.any():
        raise InputError(
            f"expected entries that can be attacked: all {owner.size} entries are protected"
        )
    owner[left] = np.unique(owner[left], return_inverse=True)[1]
    checked_units(owner)
    return owner


def parse_units(
    units: str | None,
    protected: str | None,
    input_shape: tuple[int, ...],
    names: Sequence[str] | None = None,
) -> NDArray[np.int64] | None:
    """Units as commands take them; None where every pixel or column is one.

    Args:
        units: "patch:S" of images, squares of S x S pixels; of vectors groups of columns, as in
            "a+b,c+d"; every other column is a unit of its own.
        protected: entries that nobody can attack, as in "age,3" or, from one to another, "0-27".
        input_shape: `(channels, height, width)` or `(features,)`.
        names: of the columns, which may be named by number too.

    Raises:
        InputError: for another text, an unknown column, or one in two groups.
    """
    if units is None and protected is None:
        return None
    is_image, entries = len(input_shape) == 3, math.prod(input_shape[-2:])
    numbers = {str(number): number for number in range(entries)}
    numbers |= {name: number for number, name in enumerate(names or ())}

    def number(word: str) -> int:
        if word not in numbers:
            known = "" if names is None else f" or one of {_few(np.array(names))}"
            raise InputError(
                f"expected an entry as a number from 0 to {entries - 1}{known}, got {word!r}"
            )
        return numbers[word]

    owner = np.arange(entries)
    if units is not None and is_image:
        kind, _, side = units.partition(":")
        if kind != "patch" or not side.isdecimal():
            raise InputError(f"expected units of images as patch:S, such as patch:4, got {units!r}")
        owner = patch_units((input_shape[1], input_shape[2]), int(side)).ravel()
    elif units is not None:
        groups = [[number(word.strip()) for word in group.split("+")] for group in units.split(",")]
        flat = [column for group in groups for column in group]
        if len(set(flat)) < len(flat):
            raise InputError(f"expected every column in one group at most, got {units!r}")
        for group in groups:
            owner[group] = min(group)
    hidden = list[int]()
    for word in () if protected is None else protected.split(","):
        first, dash, last = word.strip().partition("-")
        if dash and word.strip() not in numbers:
            hidden += range(number(first), number(last) + 1)
        else:
            hidden.append(number(word.strip()))
    return protect(owner, np.array(hidden, dtype=np.int64))


def _few(numbers: NDArray[Any]) -> str:
    words = ", ".join(map(str, numbers.ravel()[:8].tolist()))
    return f"{words}, ..." if numbers.size > 8 else words
