"""Runs trained on digits from Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from sparsecert import UniformAblation, data
from sparsecert.data import Dataset
from sparsecert.runs.config import RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train, train_run
from sparsecert.training.batches import Batches
from sparsecert.training.recipes import recipe_for


def config(**changes: Any) -> RunConfig:
    """The configuration of a small run on digits, up to what is changed."""
    dataset = data.load("digits", "train")
    default = RunConfig(
        dataset="digits",
        train_fingerprint=dataset.fingerprint(),
        input_shape=dataset.input_shape,
        class_names=dataset.class_names,
        feature_range=None,
        architecture="mlp",
        design=UniformAblation(64, 12),
        encoding="two-channel",
        encoding_mean=None,
        encoding_std=None,
        recipe=replace(recipe_for("fast", (1, 28, 28)), epochs=3, augmentation="crop-flip"),
        seed=0,
    )
    return replace(default, **changes)


def trained(path: Path, settings: RunConfig) -> RunFolder:
    """Train, or go on, as the configuration says."""
    run = RunFolder.create(path, settings)
    train(run, data.load("digits", "train"))
    return run


def batches(settings: RunConfig, dataset: Dataset) -> Batches:
    """Those of a run, on the CPU."""
    return Batches(
        dataset,
        settings.design,
        settings.build_encoding(),
        settings.recipe,
        settings.seed,
        Accelerator(cpu=True),
    )


def trained_by_name(
    path: Path, retained: int = 12, recipe: str = "fast", **options: Any
) -> RunFolder:
    """Train on digits as `sparsecert train` does."""
    return train_run("digits", path, recipe, design_settings={"num_retained": retained}, **options)


def noise_images(path: Path, count: int, side: int, *channels: int) -> str:
    """A file of images of two classes that cannot be told apart, the same in both splits."""
    shape = (count, side, side, *channels)
    x = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    y = np.arange(count) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return str(path)
