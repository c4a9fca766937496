"""What `sparsecert train` does: from names of data and recipe to a trained run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsecert import data, models
from sparsecert.data import Dataset
from sparsecert.designs.registry import build_design, check_design
from sparsecert.devices import best_device, multiplies_bfloat16
from sparsecert.smoothing.encoding import channel_mean
from sparsecert.errors import InputError
from sparsecert.designs.family import Partitions
from sparsecert.training.recipes import Recipe, recipe_for
from sparsecert.records.record import start_from
from sparsecert.runs.folder import RunConfig, RunFolder
from sparsecert.training.fit import train

# Of the channels of ImageNet's training images, as its pretrained networks use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DEFAULT_WIDTH = 128  # of the members of a subset ensemble


def train_run(
    dataset_name: str,
    out: Path,
    recipe: str,
    *,
    design: str = "uniform",
    design_settings: Mapping[str, Any],
    encoding: str | None = None,
    architecture: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    width: int | None = None,
    start: Path | None = None,
    radius: int | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> RunFolder:
    """Train a base classifier into a run folder, or finish one that was cut off.

    Args:
        dataset_name: as `sparsecert.data.load` takes it.
        out: the run folder.
        recipe: a key of `recipes.RECIPES`.
        design: a key of `designs.DESIGNS`.
        design_settings: num_retained for "uniform"; keep_probability and num_values for "lee2019";
            num_sets, copies and layout for "partition".
        encoding: "two-channel" or "mean"; "none" for noise.
        architecture: a key of `models.ARCHITECTURES`; by default that of `start`, or chosen by
            recipe and shape.
        epochs: instead of the recipe's.
        batch_size: instead of the recipe's, where memory is short.
        width: of the hidden layers of a subset ensemble's members; by default that of `start`, or
            `DEFAULT_WIDTH`.
        start: a trained run with the same network, perhaps for another design, whose weights
            training begins with; fresh ones by default.
        radius: pixels or features to be certified; the recipe "radius" needs it.
        seed: of everything random in training, and of random partitions.
        show_progress: draw a progress bar.

    Raises:
        InputError: for settings that do not fit the data or one another.
        RunFolderError: if `out` holds another run, or `start` none that is trained.
    """
    dataset = data.load(dataset_name, "train")
    shape = dataset.input_shape
    derived = {
        "num_features": check_design(design).features_of(shape),
        "image_shape": shape[1:] if len(shape) == 3 else None,
        "family_seed": seed,
    }
    earlier = None if start is None else RunFolder.open(start)
    encoding = encoding or check_design(design).encodings[0]
    if architecture is None and design == Partitions.name:
        architecture = models.SUBSET_ENSEMBLE
    elif architecture is None and earlier is not None:
        architecture = earlier.read_config().architecture
    mean, std = standardisation(dataset, encoding)
    config = RunConfig(
        dataset=data.lasting_name(dataset_name),
        train_fingerprint=dataset.fingerprint(),
        input_shape=dataset.input_shape,
        feature_range=dataset.feature_range,
        class_names=dataset.class_names,
        architecture=architecture
        or models.default_architecture(dataset.input_shape, encoding, recipe),
        design=build_design(design, {**design_settings, **derived}),
        encoding=encoding,
        encoding_mean=mean,
        encoding_std=std,
        recipe=_followed(
            recipe_for(recipe, dataset.input_shape, large=dataset.is_large),
            out,
            epochs=epochs,
            batch_size=batch_size,
            radius=radius,
        ),
        seed=seed,
        width=_width(architecture, width, earlier),
        start=None if earlier is None else start_from(earlier),
    )
    config.build_model()  # a network that does not fit ends here, before there is a folder
    if earlier is not None:
        _check_start(earlier, config)
    run = RunFolder.create(out, config)
    train(run, config, dataset, show_progress=show_progress)
    return run


def standardisation(
    dataset: Dataset, encoding: str
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and standard deviation by channel for the encoding, where it uses them."""
    if encoding == "none":
        return None, None
    if dataset.is_large:
        return IMAGENET_MEAN, None if encoding == "mean" else IMAGENET_STD
    return channel_mean(dataset.inputs) if encoding == "mean" else None, None


def _check_start(earlier: RunFolder, config: RunConfig) -> None:
    """Raise `InputError` where this run's weights are not for the same network."""
    theirs = earlier.read_config()
    for name in ("architecture", "width", "input_shape", "class_names", "encoding"):
        if getattr(theirs, name) != getattr(config, name):
            raise InputError(
                f"expected a run to start from with {name} {getattr(config, name)!r}, as this one "
                f"has, got {getattr(theirs, name)!r} in {earlier.path}"
            )
    if config.is_ensemble and theirs.design != config.design:
        raise InputError(
            f"expected an ensemble to start from with the same sets, {config.design}, got "
            f"{theirs.design} in {earlier.path}"
        )


def _width(architecture: str | None, width: int | None, earlier: RunFolder | None) -> int | None:
    """The width as the run folder records it; by default that of the run to start from."""
    if width is not None or architecture != models.SUBSET_ENSEMBLE:
        return width
    before = None if earlier is None else earlier.read_config().width
    return DEFAULT_WIDTH if before is None else before


def _followed(recipe: Recipe, out: Path, **overrides: int | None) -> Recipe:
    """The recipe as it will be followed, which is how the run folder records it."""
    run = RunFolder(out)
    if run.config_path.exists():  # begun, perhaps on another machine
        precision = run.read_config().recipe.precision
    else:
        precision = recipe.precision if multiplies_bfloat16(best_device()) else "float32"
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    return replace(recipe, precision=precision, **given)
