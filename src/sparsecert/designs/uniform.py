"""Which features an ablated input retains.

An ablation is a distribution over retained sets. `UniformAblation` is the paper's: every
k-subset of the d features is equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from sparsecert.designs.design import PixelUnits, option
from sparsecert.designs.subsets import draw_subsets
from sparsecert.errors import InputError
from sparsecert.sample_streams import Samples
from sparsecert.theory.shift import check_subset_size, majority_thresholds, margin_thresholds


@dataclass(frozen=True)
class UniformAblation(PixelUnits):
    """U(d, k): retain a uniformly random set of exactly k of d features.

    Attributes:
        num_features: d; a pixel is one feature, whatever its channels.
        num_retained: k, the retention constant, between 1 and d.

    Raises:
        InputError: if k is not in 1..d.
    """

    num_features: int
    num_retained: int = option("retained", "k: units each ablated input retains.")
    name: ClassVar[str] = "uniform"
    rules: ClassVar[tuple[str, ...]] = ("majority", "margin", "pairwise")
    encodings: ClassVar[tuple[str, ...]] = ("two-channel", "mean")
    retains: ClassVar[bool] = True
    architecture: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        d, k = check_subset_size(self.num_features, self.num_retained)
        object.__setattr__(self, "num_features", d)
        object.__setattr__(self, "num_retained", k)

    def __str__(self) -> str:
        return f"k = {self.num_retained} of {self.num_features}"

    def draw(self, samples: Samples) -> Bool[np.ndarray, "samples features"]:
        """Retained sets as masks; entry (s, i) says whether s retains unit i. See `subsets`."""
        return draw_subsets(samples, self.num_features, self.num_retained)

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
