"""Which features an ablated input retains.

An ablation is a distribution over retained sets. `UniformAblation` is the paper's: every
k-subset of the d features is equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from sparsecert.errors import check_num_samples
from sparsecert.theory import RULES, CertifiedRadius, check_rule, smallest_num_samples
from sparsecert.theory.shift import check_subset_size, majority_thresholds, margin_thresholds
from sparsecert.votes.tally import Tally


@dataclass(frozen=True)
class UniformAblation:
    """U(d, k): retain a uniformly random set of exactly k of d features.

    Attributes:
        num_features: d; a pixel is one feature, whatever its channels.
        num_retained: k, the retention constant, between 1 and d.

    Raises:
        InputError: if k is not in 1..d.
    """

    num_features: int
    num_retained: int
    name: ClassVar[str] = "uniform"
    rules: ClassVar[tuple[str, ...]] = ("majority", "margin", "pairwise")
    retains: ClassVar[bool] = True  # a sample is a mask over features; noise changes values

    def __post_init__(self) -> None:
        d, k = check_subset_size(self.num_features, self.num_retained)
        object.__setattr__(self, "num_features", d)
        object.__setattr__(self, "num_retained", k)

    def __str__(self) -> str:
        return f"k = {self.num_retained} of {self.num_features}"

    @staticmethod
    def features_of(input_shape: tuple[int, ...]) -> int:
        """Count the features of an input: pixels of an image, or entries of a vector."""
        return int(np.prod(input_shape[-2:]))

    @staticmethod
    def unit(input_shape: tuple[int, ...]) -> str:
        """What a radius counts."""
        return "pixels" if len(input_shape) == 3 else "features"

    def sample(
        self, generator: np.random.Generator, num_samples: int
    ) -> Int[np.ndarray, "samples retained"]:
        """Draw independent retained sets as feature indices, in no particular order.

        Drawing n sets at once or in several calls gives the same sets.

        Floyd's algorithm (Bentley and Floyd 1987), in step over all samples: for each j from
        d - k to d - 1 draw t uniformly from 0..j and add t, or j itself where t is already in.
        Every k-subset is equally likely: by induction the set after step j is a uniform subset
        of {0..j}, since it contains j with probability (size after) / (j + 1), and given that,
        the rest is uniform. The draws are integers by rejection, so there are no ties and no
        rounding. Time per sample is O(k), apart from clearing d bits of membership.
        """
        return self._sample(generator, num_samples)[0]

    def draw(
        self, generator: np.random.Generator, num_samples: int
    ) -> Bool[np.ndarray, "samples features"]:
        """Draw retained sets as masks: entry (s, i) says whether sample s retains feature i."""
        return self._sample(generator, num_samples)[1]

    def _sample(
        self, generator: np.random.Generator, num_samples: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The retained sets as indices and as masks; the algorithm needs both."""
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
        return retained.T, member.reshape(num_samples, d)

    def certify(
        self, tally: Tally, label: NDArray[np.int64], alpha: float, rule: str
    ) -> CertifiedRadius:
        """Radii in features, from votes, by one of `theory.RULES`."""
        check_rule(alpha, rule)
        return RULES[rule](tally, label, self.num_features, self.num_retained, alpha)

    def thresholds(self, rule: str, highest: float) -> NDArray[np.float64]:
        """What a bound on a share (under margin: a lead) must exceed, by radius; rising."""
        d, k = self.num_features, self.num_retained
        thresholds = margin_thresholds(d, k) if rule == "margin" else majority_thresholds(d, k)
        return thresholds[thresholds <= highest]

    def smallest_num_samples(self, radius: int, alpha: float, rule: str) -> int | None:
        """The fewest ablations with which a unanimous vote certifies `radius` features."""
        return smallest_num_samples(self.num_features, self.num_retained, radius, alpha, rule)


def membership(
    retained: Int[np.ndarray, "samples retained"], num_features: int
) -> Bool[np.ndarray, "samples features"]:
    """Retained sets as masks: entry (s, i) says whether sample s retains feature i."""
    mask = np.zeros((len(retained), num_features), dtype=np.bool_)
    np.put_along_axis(mask, retained, True, axis=1)
    return mask
