"""Which features an ablated input retains.

An ablation is a distribution over retained sets. `UniformAblation` is the paper's: every
k-subset of the d features is equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sparsecert.designs.design import option
from sparsecert.designs.subsets import draw_subsets
from sparsecert.designs.units import PROTECTED, PixelUnits, check_num_units, checked_units
from sparsecert.errors import InputError
from sparsecert.streams.samples import Samples
from sparsecert.theory.shift import check_subset_size, majority_thresholds, margin_thresholds


@dataclass(frozen=True)
class UniformAblation(PixelUnits):
    """U(d, k): retain a uniformly random set of exactly k of d features.

    Attributes:
        num_features: d; a pixel is one feature, whatever its channels.
        num_retained: k, the retention constant, between 1 and d.
        units: what a radius counts, where it is not pixels or columns: for each of these the unit,
            0 to d - 1, that it belongs to, or -1 if nobody can attack it and it is always shown.
            Any array of integers; kept as a flat tuple.

    Raises:
        InputError: if k is not in 1..d, or units are not d.
    """

    num_features: int
    num_retained: int = option("retained", "k: units each ablated input retains.")
    # Kept as a tuple; any array of integers is taken.
    units: tuple[int, ...] | Any | None = field(
        default=None, repr=False, metadata={"optional": True}
    )
    name: ClassVar[str] = "uniform"
    rules: ClassVar[tuple[str, ...]] = ("majority", "margin", "pairwise")
    encodings: ClassVar[tuple[str, ...]] = ("two-channel", "mean")
    retains: ClassVar[bool] = True
    architecture: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        d, k = check_subset_size(self.num_features, self.num_retained)
        object.__setattr__(self, "num_features", d)
        object.__setattr__(self, "num_retained", k)
        if self.units is not None:
            object.__setattr__(self, "units", checked_units(self.units))
        check_num_units(d, self.units)

    def __str__(self) -> str:
        return f"k = {self.num_retained} of {self.num_features}"

    def draw(self, samples: Samples) -> Bool[np.ndarray, "samples features"]:
        """Retained sets as masks; place (s, i) says whether s shows entry i. See `subsets`.

        An entry is shown with its unit, and what nobody can attack always.
        """
        return self.shown(draw_subsets(samples, self.num_features, self.num_retained))

    def shown(self, retained: Bool[np.ndarray, "samples units"]) -> NDArray[np.bool_]:
        """`(samples, entries)` which entries sets of units show."""
        if self.owner is None:
            return retained
        entries: NDArray[np.bool_] = retained[:, self.owner] | (self.owner == PROTECTED)
        return entries

    def share_thresholds(self, highest: float = 1.0) -> NDArray[np.float64]:
        """Those of Corollary 1; see `SampledDesign`."""
        thresholds = majority_thresholds(self.num_features, self.num_retained)
        return thresholds[thresholds <= highest]

    def lead_thresholds(self) -> NDArray[np.float64]:
        """Those of Corollary 2: what a bound on a lead must exceed, by radius; rising."""
        return margin_thresholds(self.num_features, self.num_retained)


def random_ablation(design: object, needed_by: str) -> UniformAblation:
    """The design, if it is random ablation, whose sets have k features; else `InputError`."""
    if not isinstance(design, UniformAblation):
        raise InputError(f"expected random ablation, which {needed_by} needs, got {design}")
    return design
