"""The scheme the paper compares with: noise that replaces features (Lee et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from sparsecert.designs.design import option
from sparsecert.errors import InputError, as_integer
from sparsecert.streams.samples import WORDS_PER_BLOCK, Samples
from sparsecert.theory.lee2019 import check_noise, noise_thresholds

_DRAWS = 2**64
_MOST_VALUES = 2**16


@dataclass(frozen=True)
class DiscreteNoise:
    """Keep each feature with probability kappa, else replace it by one of the other values.

    Attributes:
        num_features: d; every channel of a pixel is a feature of its own.
        keep_probability: kappa, above 1 / num_values and below 1.
        num_values: |S|, the values a feature can take: 256 for bytes, 2 for black and white.

    Raises:
        InputError: for noise that is none, or that nothing survives.
    """

    num_features: int
    keep_probability: float = option(
        "keep-probability", "probability that a feature keeps its value."
    )
    num_values: int = option("num-values", "values a feature can take; 2 is black and white.")
    name: ClassVar[str] = "lee2019"
    rules: ClassVar[tuple[str, ...]] = ("majority",)
    encodings: ClassVar[tuple[str, ...]] = ("none",)
    retains: ClassVar[bool] = False
    owner: ClassVar[None] = None
    architecture: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for name in ("num_features", "num_values"):
            object.__setattr__(self, name, as_integer(getattr(self, name), name))
        if self.num_features < 1:
            raise InputError(f"expected num_features (d) to be at least 1, got {self.num_features}")
        check_noise(self.keep_probability, self.num_values)
        if self.num_values > _MOST_VALUES:
            raise InputError(f"expected num_values up to {_MOST_VALUES}, got {self.num_values}")
        if self._num_keeping == _DRAWS:
            raise InputError(
                f"expected a keep_probability further from 1, got {self.keep_probability}"
            )

    def __str__(self) -> str:
        return f"noise, kappa = {self.keep_probability}, {self.num_values} values"

    @property
    def num_entries(self) -> int:
        """Numbers of an input."""
        return self.num_features

    @staticmethod
    def features_of(input_shape: tuple[int, ...]) -> int:
        """Count the features of an input: every number of it."""
        return int(np.prod(input_shape))

    def unit(self, input_shape: tuple[int, ...]) -> str:
        """What a radius counts: a pixel of several channels is several features."""
        if len(input_shape) != 3:
            return "features"
        return "pixels" if input_shape[0] == 1 else "channel values"

    @property
    def exact_keep_probability(self) -> Fraction:
        """What `draw` keeps a feature with, exactly: kappa, or up to 2^-48 more."""
        return Fraction(self._num_keeping, _DRAWS)

    @property
    def _num_keeping(self) -> int:
        """How many of the 2^64 draws keep; the others split evenly over the other values."""
        others = self.num_values - 1
        replacing = int((1 - Fraction(self.keep_probability)) * _DRAWS / others)
        return _DRAWS - others * replacing

    def draw(self, samples: Samples) -> Int[np.ndarray, "samples features"]:
        """Draw independent noise: 0 keeps a feature, j adds j to its level, modulo num_values.

        The first d words of 64 bits of a sample decide about a feature each. Each of the other
        values has the same number of words, so the noise is exactly what `exact_keep_probability`
        says.
        """
        d = self.num_features
        drawn = samples.words(-(-d // WORDS_PER_BLOCK))[:, :d]
        keeping = np.uint64(self._num_keeping)
        offset = 1 + (drawn - keeping) % np.uint64(self.num_values - 1)
        return np.where(drawn < keeping, 0, offset).astype(np.int32)

    def share_thresholds(self, highest: float = 1.0) -> NDArray[np.float64]:
        """Those of the tight certificate of Lee et al.; see `SampledDesign`."""
        return noise_thresholds(
            self.exact_keep_probability, self.num_values, highest, self.num_features
        )
