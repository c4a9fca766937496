"""What a step of training sees."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from sparsecert import UniformAblation, data
from sparsecert.designs.family import Partitions
from sparsecert.errors import InputError
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train_run
from sparsecert.streams import Stage, stream
from sparsecert.training.batches import masks_of_many_sizes
from sparsecert.training.recipes import recipe_for
from tests.helpers.training import batches, config, noise_images

MNIST = (1, 28, 28)


def test_every_epoch_visits_examples_once_in_a_new_order() -> None:
    orders = [stream(0, Stage.TRAINING_ORDER, epoch).permutation(1347) for epoch in range(2)]
    assert all(len(np.unique(order)) == 1347 for order in orders)
    assert (orders[0] != orders[1]).any()


def test_masks_per_batch_and_per_example() -> None:
    dataset = data.load("digits", "train")
    plain = replace(recipe_for("fast", MNIST), augmentation="none")
    for mask_per, distinct in (("batch", 1), ("example", 256)):
        recipe = replace(plain, mask_per=mask_per)  # type: ignore[arg-type]
        encoded, labels = batches(config(recipe=recipe), dataset).at(3)
        masks = (encoded.sum(dim=1).flatten(1) > 0.5).int()
        assert masks.sum(dim=1).tolist() == [12] * 256
        assert len(torch.unique(masks, dim=0)) == distinct
        assert len(labels) == 256


def test_masks_of_many_sizes_are_uniform_and_their_sizes_log_uniform() -> None:
    masks = masks_of_many_sizes(UniformAblation(8, 3), (0.4, 1.4), np.random.default_rng(0), 40_000)
    sizes = masks.sum(axis=1)
    # Rounding cuts [1.2, 4.2] at 1.5, 2.5 and 3.5.
    expected = np.diff(np.log([1.2, 1.5, 2.5, 3.5, 4.2])) / np.log(4.2 / 1.2)
    shares = np.bincount(sizes, minlength=6)[1:5] / len(sizes)
    np.testing.assert_allclose(shares, expected, atol=0.012)
    for size in range(1, 5):  # every set of a size is as likely as any other
        sets, counts = np.unique(masks[sizes == size], axis=0, return_counts=True)
        assert len(sets) == math.comb(8, size)
        assert chisquare(counts).pvalue > 1e-4
    clipped = masks_of_many_sizes(UniformAblation(8, 6), (0.01, 9), np.random.default_rng(0), 500)
    assert set(clipped.sum(axis=1)) == set(range(1, 9))


def test_a_network_is_trained_for_many_k() -> None:
    recipe = replace(recipe_for("fast", MNIST), retained_range=(0.5, 1.5))
    encoded, _ = batches(config(recipe=recipe), data.load("digits", "train")).at(0)
    sizes = (encoded.sum(dim=1).flatten(1) > 0.5).sum(dim=1)
    assert set(sizes.tolist()) == set(range(6, 19))


def test_only_random_ablation_has_a_k_to_vary(tmp_path: Path) -> None:
    """A recipe that varies it is followed without by other designs."""
    recipe = replace(recipe_for("fast", MNIST), retained_range=(0.5, 1.5))
    with pytest.raises(InputError, match="random ablation, which a recipe with a retained_range"):
        config(recipe=recipe, design=Partitions(64, 4))
    name = noise_images(tmp_path / "x.npz", 12, 16, 3)
    for design, settings, shares in (
        ("uniform", {"num_retained": 20}, (0.4, 1.4)),
        ("partition", {"num_sets": 8}, None),
    ):
        out = tmp_path / design
        run = train_run(name, out, "fast", design=design, design_settings=settings, epochs=1)
        assert run.config.recipe.retained_range == shares
        assert RunFolder(out).config == run.config
