from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sparsecert import data
from sparsecert.errors import InputError
from sparsecert.runs.folder import RunFolder
from sparsecert.training import Mixing
from sparsecert.training.mixing import cutmix, mix, mixup
from sparsecert.training.recipes import recipe_for
from tests.helpers.commands import Fails, log, run
from tests.helpers.training import batches, config, noise_images

MNIST = (1, 28, 28)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_cutmix_takes_one_rectangle_of_the_other_image() -> None:
    """All rectangles, found from the pixels alone."""
    images, others = torch.zeros(3_000, 2, 6, 8), torch.ones(3_000, 2, 6, 8)
    mixed, own = cutmix(images, others, generator())
    assert torch.equal(mixed[:, 0], mixed[:, 1])  # whole pixels
    taken = mixed[:, 0].bool()
    rows, columns = taken.any(dim=2), taken.any(dim=1)
    assert torch.equal(taken, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):  # without gaps
        assert int((side[:, 1:] != side[:, :-1]).sum(dim=1).max()) <= 2
    assert torch.equal(own, 1 - taken.flatten(1).float().mean(dim=1))
    assert set(rows.sum(dim=1).tolist()) == set(range(7))
    assert set(columns.sum(dim=1).tolist()) == set(range(9))
    # An area uniform on [0, 1] has the mean 1/2; the border cuts some of it off.
    assert 0.55 < float(own.mean()) < 0.75


def test_mixup_is_a_mean_with_uniform_weights() -> None:
    inputs, others = torch.rand(2, 4_000, 5, generator=torch.Generator().manual_seed(0))
    mixed, own = mixup(inputs, others, generator())
    expected = own[:, None] * inputs + (1 - own[:, None]) * others
    torch.testing.assert_close(mixed, expected)
    counts = torch.histc(own, 10, 0, 1)
    assert float(((counts - 400) ** 2 / 400).sum()) < 27.9  # chi-squared, 9 degrees: 1 in 1 000


@pytest.mark.parametrize("mixing", ["cutmix", "mixup"])
def test_targets_are_shares_of_what_is_shown(mixing: Mixing) -> None:
    """Each image is of its class's colour, so that what is seen says whose share it is."""
    labels = torch.arange(60) % 3
    images = functional.one_hot(labels, 3).float()[:, :, None, None].expand(-1, -1, 8, 8)
    mixed, targets = mix(mixing, images, labels, 3, generator())
    torch.testing.assert_close(mixed.mean(dim=(2, 3)), targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(60))
    alone = (targets.amax(dim=1) == 1).float().mean()
    assert float(alone) < 0.6  # about a third has a partner of its own class


def seen(mixing: Mixing, step: int) -> tuple[Tensor, Tensor]:
    recipe = replace(recipe_for("fast", MNIST), mixing=mixing, masks_per_example=2)
    return batches(config(recipe=recipe), data.load("digits", "train")).at(step)


def test_a_minibatch_is_mixed_before_it_is_ablated() -> None:
    plain, labels = seen("none", 3)
    encoded, targets = seen("mixup", 3)
    again = seen("mixup", 3)
    assert torch.equal(encoded, again[0])
    assert torch.equal(targets, again[1])
    assert targets.shape == (len(labels), 10)
    assert torch.equal(targets[::2], targets[1::2])  # on both masks
    is_null = [part.sum(dim=1) == 0 for part in (plain, encoded)]
    assert torch.equal(*is_null)  # NULL is NULL, not a mean with a pixel
    assert not torch.equal(plain, encoded)


def test_a_run_is_trained_on_mixed_examples(tmp_path: Path, fails: Fails) -> None:
    images = noise_images(tmp_path / "x.npz", 12, 16, 3)
    words = ("train", "--data", images, "--retained", 5, "--epochs", 1, "--mixing")
    run(*words, "cutmix", "--out", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert folder.config.recipe.mixing == "cutmix"
    assert "--mixing cutmix" in folder.config.train_command(folder.path)
    assert 0 <= log(folder.path)[0]["ablated_accuracy"] <= 1
    table = ("train", "--data", "breast-cancer", "--retained", 5, "--epochs", 1)
    out = ("--out", tmp_path / "table")
    fails("inputs that are no images, got cutmix", *table, "--mixing", "cutmix", *out)
    run(*table, "--mixing", "mixup", *out)


def test_certificates_are_for_one_class() -> None:
    with pytest.raises(InputError, match="recipe radius without mixing"):
        replace(recipe_for("radius", MNIST), radius=2, mixing="mixup")
