"""What an attacker may change: any few units, one patch of an image, or one window of a vector.

    sparse          any rho units; a radius counts them
    patch:HxW       one window of H x W pixels, anywhere in the image
    window:L        L neighbouring entries of a vector, anywhere

Sizes may be listed, as in `patch:2x2,5x5,8x8`, each holding the one before; a radius then says how
many of them are withstood. Patches and windows lie inside the input; they do not go on at its other
end, as the sets of a family may.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsecert.designs.family import FixedAblation
from sparsecert.errors import InputError
from sparsecert.theory.coverage import Reach, SparseReach, WindowReach

SPARSE = "sparse"


@dataclass(frozen=True)
class Threat:
    """A list of attackers, each of whom can do all that those before can.

    Attributes:
        kind: "sparse", "patch" or "window".
        sizes: height and width of each attacker's patch; of a window 1 and its length; none where
            the attackers are sparse, one for each number of units.
    """

    kind: str = SPARSE
    sizes: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{','.join(self._names)}" if self.sizes else self.kind

    @property
    def _names(self) -> list[str]:
        return [f"{h}x{w}" if self.kind == "patch" else f"{w}" for h, w in self.sizes]

    def name_of(self, radius: int) -> str:
        """What a radius withstands, as tables say it."""
        if not self.sizes:
            return str(radius)
        return self._names[radius - 1] if radius else "unchanged"

    def reach(self, family: FixedAblation) -> Reach:
        """What the attackers can touch in a family.

        Raises:
            InputError: for patches where the family is not one of images, windows where it is, or
                sizes that do not fit.
        """
        if not self.sizes:
            return SparseReach(family.columns, family.num_features, family.most_touched)
        if (self.kind == "window") != (family.image_shape is None):
            raise InputError(
                f"expected a threat {'patch:HxW' if family.image_shape else 'window:L'} for "
                f"{'images' if family.image_shape else 'a family without an image_shape'}, got "
                f"{self}; images of a family of your own: FixedAblation(sets, image_shape=...)"
            )
        shape = family.image_shape or (1, family.num_features)
        largest = self.sizes[-1]
        if any(side > whole for side, whole in zip(largest, shape, strict=True)):
            raise InputError(f"expected a threat that fits into {shape}, got {self}")
        sets = family.membership.reshape(-1, *shape)
        return WindowReach(tuple(_touched(sets, size) for size in self.sizes))


def threat_of(text: str | Threat) -> Threat:
    """The threat of that name.

    Raises:
        InputError: for another text than those at the top, or sizes that do not rise.
    """
    if isinstance(text, Threat):
        return text
    if text == SPARSE:
        return Threat()
    kind, _, sizes = text.partition(":")
    form = {"patch": r"[1-9]\d{0,8}x[1-9]\d{0,8}", "window": r"[1-9]\d{0,8}"}.get(kind)
    parts = sizes.split(",")
    if form is None or not all(re.fullmatch(form, part, re.ASCII) for part in parts):
        raise InputError(
            "expected a threat sparse, patch:HxW or window:L, sizes perhaps listed, as in "
            f"patch:2x2,5x5; got {text!r}"
        )
    listed = [tuple(map(int, part.split("x"))) for part in parts]
    pairs = tuple((size[0], size[1]) if kind == "patch" else (1, size[0]) for size in listed)
    for before, after in itertools.pairwise(pairs):
        if before == after or before[0] > after[0] or before[1] > after[1]:
            raise InputError(
                "expected sizes of which each holds the one before, so that a radius says how many "
                f"are withstood, got {text!r}; ask for each on its own"
            )
    return Threat(kind, pairs)


def _touched(sets: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which sets each window meets.

    Args:
        sets: `(num_sets, height, width)` memberships.
        size: of the windows.

    Returns:
        `(windows, num_sets)`.
    """
    # Members above and to the left of each corner, so that four corners count those in a window.
    counts = np.pad(sets.cumsum(axis=1, dtype=np.int32).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    h, w = size
    inside = counts[:, h:, w:] - counts[:, :-h, w:] - counts[:, h:, :-w] + counts[:, :-h, :-w]
    return np.asarray(inside.reshape(len(sets), -1).T > 0)
