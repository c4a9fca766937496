"""The minibatch of every step: which examples, changed how, seen on which masks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.data import Dataset
from sparsecert.designs.design import Design
from sparsecert.designs.uniform import UniformAblation, random_ablation
from sparsecert.streams import Stage, stream
from sparsecert.streams.samples import samples
from sparsecert.training.augmentation import AUGMENTATIONS
from sparsecert.training.mixing import mix
from sparsecert.training.recipes import Recipe


@dataclass
class Batches:
    """The encoded minibatch of every step, this process's share of it.

    Attributes:
        dataset: the training split.
        design: draws the masks.
        encoding: applies them, as an `Encoding` does.
        recipe: says the rest.
        seed: names what is drawn.
        accelerator: tells the share and the device.
    """

    dataset: Dataset
    design: Design
    encoding: Callable[[Tensor, Tensor], Tensor]
    recipe: Recipe
    seed: int
    accelerator: Accelerator

    def __post_init__(self) -> None:
        num_processes: int = self.accelerator.num_processes
        self.share = max(1, min(self.recipe.batch_size, len(self.dataset)) // num_processes)
        self.batch_size = self.share * num_processes
        self.steps_per_epoch = len(self.dataset) // self.batch_size
        self.num_steps = self.steps_per_epoch * self.recipe.epochs
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))
        self._decoder = ThreadPoolExecutor(1)
        self._decoding: dict[int, Future[Tensor]] = {}

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Encoded inputs and targets of one step, on the device, as many of an example as masks.

        Targets are labels, or shares of all classes where the recipe mixes examples.
        """
        device, rows = self.accelerator.device, self._rows(step)
        generator = self._generator(step)
        if self.recipe.augmentation == "random-part":
            inputs = self._random_parts(step).to(device)
        else:
            augment = AUGMENTATIONS[self.recipe.augmentation]
            inputs = augment(self.dataset.batch(rows).to(device), generator)
        targets = torch.from_numpy(self.dataset.labels[rows]).to(device)
        if self.recipe.mixing != "none":
            classes = self.dataset.num_classes
            inputs, targets = mix(self.recipe.mixing, inputs, targets, classes, generator)
        each = self.recipe.masks_per_example
        inputs, targets = (part.repeat_interleave(each, dim=0) for part in (inputs, targets))
        return self.encoding(inputs, torch.from_numpy(self._masks(step)).to(device)), targets

    def _masks(self, step: int) -> NDArray[Any]:
        """Masks of this process's examples, those of an example one after the other."""
        if self.recipe.mask_per == "batch":
            return np.repeat(self._draw(step, 1), self.share, axis=0)
        each = self.recipe.masks_per_example
        masks = self._draw(step, self.batch_size * each)
        masks = masks.reshape(self.batch_size, each, -1)[self._mine]
        return masks.reshape(-1, masks.shape[2])

    def _draw(self, step: int, num_masks: int) -> NDArray[Any]:
        shares, name = self.recipe.retained_range, (self.seed, Stage.TRAINING_MASKS, step)
        if shares is None:
            return self.design.draw(samples(*name, num_masks))
        ablation = random_ablation(self.design, "a recipe with a retained_range")
        return masks_of_many_sizes(ablation, shares, stream(*name), num_masks)

    @property
    def _mine(self) -> slice:
        """This process's examples of a minibatch."""
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def _rows(self, step: int) -> NDArray[np.int64]:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = stream(self.seed, Stage.TRAINING_ORDER, epoch)
            self._order = (epoch, generator.permutation(len(self.dataset)))
        start = position * self.batch_size
        return self._order[1][start : start + self.batch_size][self._mine]

    def _generator(self, step: int) -> np.random.Generator:
        index = step * self.accelerator.num_processes + self.accelerator.process_index
        return stream(self.seed, Stage.TRAINING_AUGMENTATION, index)

    def _random_parts(self, step: int) -> Tensor:
        """Decoded random parts of this step's images; those of the next are started on."""
        decoding = self._decoding.pop(step, None) or self._start_decoding(step)
        if step + 1 < self.num_steps:
            self._decoding[step + 1] = self._start_decoding(step + 1)
        return decoding.result()

    def _start_decoding(self, step: int) -> Future[Tensor]:
        rows, generator = self._rows(step), self._generator(step)
        return self._decoder.submit(self.dataset.random_crops, rows, generator)


def masks_of_many_sizes(
    ablation: UniformAblation,
    shares: tuple[float, float],
    generator: np.random.Generator,
    num_masks: int,
) -> Bool[np.ndarray, "masks features"]:
    """Retained sets for a network that is to serve many k.

    The number of features of each is log-uniform between these shares of the ablation's k, rounded,
    and at least 1 and at most d. Every set of that number is equally likely.
    """
    low, high = (share * ablation.num_retained for share in shares)
    sizes = np.rint(np.exp(generator.uniform(np.log(low), np.log(high), num_masks)))
    sizes = sizes.clip(1, ablation.num_features).astype(np.int64)
    keys = generator.random((num_masks, ablation.num_features), dtype=np.float32)
    largest = np.sort(keys, axis=1)[np.arange(num_masks), sizes - 1]
    # Where keys tie, in one of 2^24 / d sets, one feature more is retained.
    masks: NDArray[np.bool_] = keys <= largest[:, None]
    return ablation.shown(masks)
