"""What `sparsecert train` does: from names of data and recipe to a trained run.

    sparsecert train --data mnist --retained 45 --out runs/mnist-k45
    accelerate launch -m sparsecert train ...      # several devices or machines

Processes on several machines need the run folder on a disk they share.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sparsecert import data, files, progress
from sparsecert.data import Dataset
from sparsecert.designs.design import options
from sparsecert.designs.registry import build_design, check_design
from sparsecert.designs.uniform import UniformAblation
from sparsecert.designs.units import parse_units
from sparsecert.devices import best_device, keep_memory, multiplies_bfloat16
from sparsecert.errors import InputError
from sparsecert.models import architectures as models
from sparsecert.runs.config import RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.hub import own_run
from sparsecert.runs.log import damaged_log
from sparsecert.smoothing.encoding import channel_mean
from sparsecert.training.checkpoint import Progress
from sparsecert.training.fit import Training, seeded
from sparsecert.training.recipes import Recipe, recipe_for

CHECKPOINT_SECONDS = 60.0

# Of the channels of ImageNet's training images, as its pretrained networks use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DEFAULT_WIDTH = 128  # of the members of a subset ensemble


class NoTestSplitWarning(UserWarning):
    """A data set to train on has no split to be certified on."""


def train_run(
    dataset_name: str,
    out: Path,
    recipe: str,
    *,
    design: str = "uniform",
    design_settings: Mapping[str, Any],
    encoding: str | None = None,
    architecture: str | None = None,
    width: int | None = None,
    start: Path | None = None,
    units: str | None = None,
    protect: str | None = None,
    held_out: int = 0,
    seed: int = 0,
    show_progress: bool = False,
    **overrides: float | str | tuple[float, float] | None,
) -> RunFolder:
    """Train a base classifier into a run folder, or finish one that was cut off.

    Args:
        dataset_name: as `sparsecert.data.load` takes it.
        out: the run folder.
        recipe: a key of `recipes.RECIPES`.
        design: a key of `designs.DESIGNS`.
        design_settings: num_retained for "uniform"; keep_probability and num_values for "lee2019";
            num_sets, copies and layout for "partition"; layout for "bands".
        encoding: by default the design's first.
        architecture: a name of `models.build`, or "subset-ensemble"; by default that of `start`, or
            chosen by design, recipe and shape.
        width: of the hidden layers of a subset ensemble's members; by default that of `start`, or
            `DEFAULT_WIDTH`.
        start: a trained run with the same network or one that it is grown from
            (`architectures.GROWN_FROM`), perhaps for another design, whose weights training begins
            with; fresh ones by default. One on the Hub is copied first.
        units: what a radius counts, as of `parse_units`; pixels or columns by default.
        protect: pixels or columns that nobody can attack.
        held_out: training examples to keep aside.
        seed: of everything random in training, and of random partitions.
        show_progress: draw a progress bar.
        overrides: fields of the recipe; None leaves them as they are. Its `radius`, the pixels or
            features to be certified, the recipe "radius" needs.

    Raises:
        InputError: for settings that do not fit the data or one another, or a test split that does
            not go with the training split.
        RunFolderError: if `out` holds another run, or one that is being trained, or `start` none
            that is trained.

    Warns:
        NoTestSplitWarning: for a data set without a test split.
    """
    dataset, kind = data.load(dataset_name, "train"), check_design(design)
    shape = dataset.input_shape
    names = None if dataset.feature_range is None else dataset.feature_range.names
    owner = parse_units(units, protect, shape, names)
    if owner is not None and kind is not UniformAblation:
        raise InputError(
            f"expected --units and --protect for the design {UniformAblation.name}, got {design}; "
            "families take units in Python: FixedAblation(sets, units=...)"
        )
    derived = {
        "num_features": kind.features_of(shape) if owner is None else int(owner.max()) + 1,
        "units": None if owner is None else tuple(owner.tolist()),
        "image_shape": shape[1:] if len(shape) == 3 else None,
        "family_seed": seed,
    }
    followed = recipe_for(recipe, shape, large=dataset.is_large)
    if "num_retained" not in options(kind):  # there is no k to vary
        followed = replace(followed, retained_range=None)
    parent = None if start is None else own_run(start)
    encoding = encoding or kind.encodings[0]
    mean, std = standardisation(dataset, encoding)
    architecture = architecture or kind.architecture
    if architecture is None and parent is not None:
        architecture = parent.config.architecture
    if width is None and architecture == models.SUBSET_ENSEMBLE:
        width = (parent and parent.config.width) or DEFAULT_WIDTH
    config = RunConfig(
        dataset=data.lasting_name(dataset_name),
        train_fingerprint=dataset.fingerprint(),
        input_shape=shape,
        class_names=dataset.class_names,
        feature_range=dataset.feature_range,
        architecture=architecture or models.default_architecture(shape, encoding, recipe),
        design=build_design(design, {**design_settings, **derived}),
        encoding=encoding,
        encoding_mean=mean,
        encoding_std=std,
        recipe=_overridden(followed, shape, out, overrides),
        seed=seed,
        width=width,
        start=None if parent is None else parent.as_parent(),
        units_given=(units, protect),
        held_out=held_out,
    )
    data.held_out(len(dataset), held_out)  # says what is wrong with it
    _check_test_split(config, dataset_name)
    config.build_model()  # a network that does not fit ends here, before there is a folder
    if parent is not None:
        _check_parent(parent, config)
    run = RunFolder.create(out, config)
    train(run, dataset, show_progress=show_progress)
    return run


def train(run: RunFolder, dataset: Dataset, *, show_progress: bool = False) -> None:
    """Train the run's base classifier, or finish training that was cut off.

    Writes a checkpoint every minute and a line of `train.jsonl` per epoch; at the end the weights,
    and the checkpoint goes.

    Args:
        run: the folder.
        dataset: the training split, held-out examples included.
        show_progress: draw a progress bar with loss and accuracy on ablated inputs.

    Raises:
        RunFolderError: if the run is being trained by another process.
    """
    if run.is_trained:
        return
    config = run.config
    dataset = dataset.without(data.held_out(len(dataset), config.held_out))
    keep_memory()
    with seeded(config.seed):
        model = config.build_model()
    if config.start is not None and not run.checkpoint_path.exists():
        models.begin_with(model, RunFolder.open(Path(config.start.path)).load_model())
    training = Training(
        model, dataset, config.design, config.build_encoding(), config.recipe, config.seed
    )
    with contextlib.ExitStack() as until_the_end:
        if training.accelerator.is_main_process:
            until_the_end.enter_context(run.trained_by_nobody_else())
        training.accelerator.wait_for_everyone()
        if not run.is_trained:  # by who has let go just now
            _train(run, training, model, show_progress=show_progress)


def _train(run: RunFolder, training: Training, model: nn.Module, *, show_progress: bool) -> None:
    """Train until the end, from the checkpoint if there is one."""
    config = run.config
    if run.checkpoint_path.exists():
        training.resume(run.checkpoint_path)
    accelerator, state = training.accelerator, training.progress
    if accelerator.is_main_process:
        _forget_lines_after(run, state.step)
    saved = time.monotonic()
    with progress.bar(show_progress and accelerator.is_main_process) as bar:
        task = bar.add_task("training", total=training.batches.num_steps, completed=state.step)
        for state in _stopping_between_steps(training, run.checkpoint_path):
            epoch, rest = divmod(state.step, training.batches.steps_per_epoch)
            bar.update(
                task,
                advance=1,
                description=f"epoch {epoch + (rest > 0)}/{config.recipe.epochs}  "
                f"loss {state.loss:.3f}  ablated accuracy {state.ablated_accuracy:.3f}",
            )
            if not accelerator.is_main_process:
                continue
            if rest == 0:
                _log_epoch(run, epoch, training)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                training.save(run.checkpoint_path)
                saved = time.monotonic()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        run.save_model(model.cpu())
        run.checkpoint_path.unlink(missing_ok=True)
    accelerator.wait_for_everyone()


def _stopping_between_steps(training: Training, checkpoint: Path) -> Iterator[Progress]:
    """The steps of training; Ctrl-C and SIGTERM wait for one to end, and for a checkpoint.

    In the middle of a step weights and optimiser do not belong together. Outside the main thread,
    where Python handles no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield from training
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: received.append(n))
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        for state in training:
            yield state
            if received:
                if training.accelerator.is_main_process:
                    training.save(checkpoint)
                break
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
        raise KeyboardInterrupt  # if that was handled in silence: training is not finished


def standardisation(
    dataset: Dataset, encoding: str
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and standard deviation by channel for the encoding, where it uses them."""
    if encoding == "none":
        return None, None
    if dataset.is_large:
        return IMAGENET_MEAN, None if encoding == "mean" else IMAGENET_STD
    return channel_mean(dataset.inputs) if encoding == "mean" else None, None


def _check_test_split(config: RunConfig, dataset_name: str) -> None:
    """Say now, and not after hours of training, what is wrong with the test split."""
    try:
        test = data.load(dataset_name, "test", config.feature_range)
    except data.MissingSplitError as error:
        words = f"{error}; certify, predict and attack will need --data"
        warnings.warn(words, NoTestSplitWarning, stacklevel=3)
    else:
        config.check_dataset(test, "as its training split has")


def _check_parent(parent: RunFolder, config: RunConfig) -> None:
    """Raise `InputError` where this run's weights are not for the same network."""
    theirs = parent.config
    names = ["architecture", "width", "input_shape", "class_names", "encoding"]
    if models.GROWN_FROM.get(config.architecture) == theirs.architecture:
        names.remove("architecture")
    for name in names:
        if getattr(theirs, name) != getattr(config, name):
            raise InputError(
                f"expected a run to start from with {name} {getattr(config, name)!r}, as this one "
                f"has, got {getattr(theirs, name)!r} in {parent.path}"
            )
    if config.is_ensemble and theirs.design != config.design:
        raise InputError(
            f"expected an ensemble to start from with the same sets, {config.design}, got "
            f"{theirs.design} in {parent.path}"
        )


def _overridden(
    recipe: Recipe,
    input_shape: tuple[int, ...],
    out: Path,
    overrides: Mapping[str, float | str | tuple[float, float] | None],
) -> Recipe:
    """The recipe as it will be followed, which is how the run folder records it."""
    run = RunFolder(out)
    if run.config_path.exists():  # begun, perhaps on another machine
        precision = run.config.recipe.precision
    else:
        precision = recipe.precision if multiplies_bfloat16(best_device()) else "float32"
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    augmentation = given.get("augmentation", recipe.augmentation)
    if augmentation != recipe.augmentation and (
        recipe.augmentation == "random-part" or (augmentation != "none" and len(input_shape) != 3)
    ):
        raise InputError(
            f"expected --augmentation {recipe.augmentation} for these inputs, got {augmentation}"
        )
    if given.get("mixing") == "cutmix" and len(input_shape) != 3:
        raise InputError(
            "expected --mixing none or mixup for inputs that are no images, got cutmix"
        )
    return replace(recipe, precision=precision, **given)


def _log_epoch(run: RunFolder, epoch: int, training: Training) -> None:
    state = training.progress
    line = {
        "epoch": epoch,
        "step": state.step,
        "loss": state.loss,
        "ablated_accuracy": state.ablated_accuracy,
        "learning_rate": training.learning_rate,
        "seconds": round(state.seconds, 1),
    }
    try:
        with run.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise files.cannot_write(run.log_path, error) from error


def _forget_lines_after(run: RunFolder, step: int) -> None:
    """Drop log lines of epochs that a resumed run is going to repeat.

    Raises:
        RunFolderError: if the log is damaged.
    """
    if run.log_path.exists():
        lines = run.log_path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            del lines[-1]  # as a kill may leave it
        try:
            kept = [line for line in lines if json.loads(line)["step"] <= step]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise damaged_log(run.log_path, error) from error
        files.write_text(run.log_path, "".join(kept))
