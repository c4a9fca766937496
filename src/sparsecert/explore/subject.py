"""A trained run as the page needs it: its network at any k, its test inputs, and its words."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsecert.data import Dataset, FeatureRange
from sparsecert.designs.uniform import UniformAblation
from sparsecert.devices import alike_devices
from sparsecert.errors import InputError, as_integer
from sparsecert.explore.table import Table
from sparsecert.procedures.procedure import base_classifier
from sparsecert.procedures.run import load_evaluation_data
from sparsecert.report.words import counted, inputs_of, one_of
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.sampled import SmoothedClassifier

_MOST_SIDE = 256  # of an image; more pixels cannot be told apart on a screen


class Subject:
    """A run with random ablations.

    Args:
        run: trained.

    Raises:
        InputError: for a run with another design, or of images too large to be painted.
    """

    def __init__(self, run: RunFolder) -> None:
        design, self.shape = run.config.design, run.config.input_shape
        if not isinstance(design, UniformAblation):
            raise InputError(
                "expected a run with random ablations (the design uniform), whose votes can be "
                f"watched by sparsecert explore, got one with the design {design.name}"
            )
        if self.is_image and (self.shape[0] not in (1, 3) or max(self.shape[1:]) > _MOST_SIDE):
            raise InputError(
                f"expected grey or colour images of at most {_MOST_SIDE} pixels a side, to be "
                f"painted by hand, got the shape {self.shape}"
            )
        self.run, self.design, self.classes = run, design, run.config.class_names
        self._classifier = lru_cache(maxsize=4)(self._build)

    @property
    def is_image(self) -> bool:
        """Whether inputs are images, and not rows of a table."""
        return len(self.shape) == 3

    @property
    def unit(self) -> str:
        """What a radius counts, in the plural."""
        unit = self.design.unit(self.shape)
        return "columns" if unit == "features" else unit

    @property
    def one(self) -> str:
        """What an input is called."""
        return one_of(inputs_of(self.design.unit(self.shape)))

    def counted(self, number: int) -> str:
        """So many units."""
        return counted(number, self.unit)

    @cached_property
    def table(self) -> Table:
        """How the values of columns are read; of tables only."""
        ends = self.run.config.feature_range
        if ends is None:
            features = self.shape[0]
            ends = FeatureRange((0.0,) * features, (1.0,) * features)
        return Table(ends)

    @property
    def trained_for(self) -> tuple[int, int]:
        """The smallest and the largest k that the network was trained for."""
        k, shares = self.design.num_retained, self.run.config.recipe.retained_range
        if shares is None:
            return k, k
        low, high = np.rint(np.array(shares) * k).clip(1, self.design.num_features)
        return int(low), int(high)

    @property
    def most_retained(self) -> int:
        """The largest k that the page offers."""
        return min(self.design.num_features, 4 * self.design.num_retained)

    @cached_property
    def dataset(self) -> Dataset:
        """The test split."""
        return load_evaluation_data(self.run)

    def input(self, index: int) -> tuple[Tensor, str]:
        """A test input, and the class that the data set says it is of.

        Raises:
            InputError: for an index that there is none of.
        """
        size = len(self.dataset)
        if not 0 <= as_integer(index, f"the number of a test {self.one}") < size:
            raise InputError(
                f"expected the number of a test {self.one} from 0 to {size - 1}, got {index}"
            )
        return self.dataset.batch([index])[0], self.classes[self.dataset.labels[index]]

    def blank(self) -> Tensor:
        """A black image, to draw on."""
        return torch.zeros(self.shape)

    def classifier(self, num_retained: int) -> SmoothedClassifier:
        """The run's smoothed classifier, at this k."""
        return self._classifier(num_retained)

    @cached_property
    def _base(self) -> dict[str, Any]:
        return base_classifier(self.run)

    def _build(self, num_retained: int) -> SmoothedClassifier:
        design = replace(self.design, num_retained=num_retained)
        return SmoothedClassifier(ablation=design, devices=alike_devices(), **self._base)
