"""The choices of training, and what they do to its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparsecert.errors import InputError
from sparsecert.models import architectures as models
from sparsecert.training.recipes import Recipe, recipe_for

MNIST = (1, 28, 28)


def test_learning_rate_schedules() -> None:
    paper = recipe_for("paper", MNIST)
    rates = [paper.learning_rate_at(step, 400) for step in (0, 199, 200, 399)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])
    fast = recipe_for("fast", MNIST)
    rates = [fast.learning_rate_at(step, 1000) for step in range(1000)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(fast.learning_rate, rel=1e-3)
    assert int(np.argmax(rates)) == 100
    assert rates[-1] < 1e-3 * fast.learning_rate


def test_paper_recipe_is_the_papers() -> None:
    settings = {"epochs": 400, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.01}
    schedule = {"schedule": "step", "drops": (0.5,), "mask_per": "batch", "precision": "float32"}
    mnist = Recipe(name="paper", weight_decay=0, augmentation="none", **settings, **schedule)  # type: ignore[arg-type]
    assert recipe_for("paper", MNIST) == mnist
    cifar10 = replace(mnist, weight_decay=5e-4, augmentation="crop-flip")
    assert recipe_for("paper", (3, 32, 32)) == cifar10


def test_fast_for_grey_images_is_for_one_k() -> None:
    """What was trained by it before there were others is what it still says."""
    grey = recipe_for("fast", MNIST)
    assert (grey.label_smoothing, grey.decayed, grey.retained_range) == (0, "all", None)
    assert (grey.epochs, grey.batch_size, grey.learning_rate) == (150, 256, 2e-3)


def test_weight_decay_of_matrices_only() -> None:
    for decayed, numbers in (("all", (6, 0)), ("matrices", (3, 3))):
        recipe = replace(recipe_for("fast", MNIST), decayed=decayed)  # type: ignore[arg-type]
        model = models.build("mlp", (64,), 10)
        groups = recipe.build_optimizer(model).param_groups
        assert tuple(len(group["params"]) for group in groups) == numbers
        assert [group["weight_decay"] for group in groups] == [0.05, 0]
        assert all(p.ndim == 2 for p in groups[0]["params"]) == (decayed == "matrices")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing in \[0, 1\), got 1.0"),
        ({"retained_range": (0.0, 1.0)}, "two positive shares"),
        ({"retained_range": (1.2, 0.8)}, "rising, got 1.2 and 0.8"),
        ({"retained_range": (0.5, 1.0), "objective": "radius"}, "for one k"),
    ],
)
def test_recipes_out_of_range_get_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(recipe_for("fast", MNIST), **changes)
