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
from sparsecert.errors import InputError, check_num_samples
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

    def draw(
        self, generator: np.random.Generator, num_samples: int
    ) -> Bool[np.ndarray, "samples features"]:
        """Draw independent retained sets as masks: entry (s, i) says whether s retains unit i.

        Drawing n sets at once or in several calls gives the same sets.

        Floyd's algorithm (Bentley and Floyd 1987), in step over all samples: for each j from
        d - k to d - 1 draw t uniformly from 0..j and add t, or j itself where t is already in.
        Every k-subset is equally likely: by induction the set after step j is a uniform subset
        of {0..j}, since it contains j with probability (size after) / (j + 1), and given that,
        the rest is uniform. The draws are integers by rejection, so there are no ties and no
        rounding. Time per sample is O(k), apart from clearing d bits of membership.
        """
        check_num_samples(num_samples)
        d, k = self.num_features, self.num_retained
        last = np.arange(d - k, d, dtype=np.int64)
        retained = generator.integers(0, last, size=(num_samples, k), endpoint=True)
        retained = np.ascontiguousarray(retained.T)  # one step of the loop reads one row
        member = np.zeros(num_samples * d, dtype=np.bool_)
        offset = np.arange(num_samples, dtype=np.int64) * d
        for step, candidate in enumerate(retained):
            taken = member[offset + candidate]
            candidate[taken] = d - k + step
            member[offset + candidate] = True
        return member.reshape(num_samples, d)

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
