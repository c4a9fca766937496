"""What the commands do: train a run, count its votes, evaluate them.

Counting needs the network and is resumable; evaluating reads stored tallies only, so alpha and
the rule can change at no cost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsecert import data, models, progress
from sparsecert.certification import (
    Certification,
    Prediction,
    certify_tally,
    predict_tally,
    warn_if_too_few,
)
from sparsecert.data import Dataset
from sparsecert.devices import best_device, multiplies_bfloat16
from sparsecert.errors import InputError, check_num_samples
from sparsecert.evaluation import Evaluation, evaluate
from sparsecert.recipes import Recipe
from sparsecert.runs import RunConfig, RunFolder
from sparsecert.smoothing import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.tally_store import StoredTally, TallySettings, TallyStore
from sparsecert.theory import check_rule
from sparsecert.training import train

# Images are counted in groups, so that a pass through the network is full even where there are
# few ablations per image, and a kill loses at most this many seconds of work or one group.
_FLUSH_SECONDS = 10.0
_BALLOTS_PER_GROUP = 10_000


@dataclass(frozen=True)
class SamplingPlan:
    """How many ablations, and from which streams.

    Attributes:
        num_selection: n0, ablations that choose the class to certify.
        num_samples: n, ablations that estimate its share.
        seed: of the random streams.
    """

    num_selection: int = 1_000
    num_samples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_num_samples(self.num_selection, "num_selection")
        check_num_samples(self.num_samples)


@dataclass(frozen=True)
class Measurement:
    """Predictions and certificates of some images of a data set, from stored tallies.

    Attributes:
        indices: `(images,)` indices in the data set.
        targets: `(images,)` correct labels.
        prediction: PREDICT from the estimation votes. They are independent of the selection and
            as many as the paper's prediction draws, so no further pass is needed.
        certification: CERTIFY from selection and estimation votes.
        seconds: `(images,)` time each image took.
        evaluation: the quantities of the paper.
    """

    indices: NDArray[np.int64]
    targets: NDArray[np.int64]
    prediction: Prediction
    certification: Certification
    seconds: NDArray[np.float64]
    evaluation: Evaluation


def train_run(
    dataset_name: str,
    num_retained: int,
    out: Path,
    recipe: Recipe,
    *,
    encoding: str = "two-channel",
    architecture: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> RunFolder:
    """Train a base classifier into a run folder, or finish one that was cut off.

    Args:
        dataset_name: as `sparsecert.data.load` takes it.
        num_retained: k.
        out: the run folder.
        recipe: training recipe.
        encoding: "two-channel" or "mean".
        architecture: a key of `models.ARCHITECTURES`; by default chosen by recipe and shape.
        epochs: instead of the recipe's.
        seed: of everything random in training.
        show_progress: draw a progress bar.
    """
    dataset = data.load(dataset_name, "train")
    config = RunConfig(
        dataset=data.lasting_name(dataset_name),
        train_fingerprint=dataset.fingerprint(),
        input_shape=dataset.input_shape,
        feature_range=dataset.feature_range,
        class_names=dataset.class_names,
        architecture=architecture
        or models.default_architecture(dataset.input_shape, encoding, recipe.name),
        num_retained=num_retained,
        encoding=encoding,
        encoding_mean=_channel_mean(dataset) if encoding == "mean" else None,
        encoding_std=None,
        recipe=_fitted(recipe, dataset.input_shape, epochs),
        seed=seed,
    )
    config.build_model()  # a network that does not fit ends here, before there is a folder
    run = RunFolder.create(out, config)
    train(run, config, dataset, show_progress=show_progress)
    return run


def load_evaluation_data(run: RunFolder, dataset_name: str | None) -> Dataset:
    """The test split of the named data set, or of the run's own.

    Raises:
        InputError: if its inputs or classes are not those the model was trained on.
    """
    config = run.read_config()
    dataset = data.load(dataset_name or config.dataset, "test", config.feature_range)
    if dataset.input_shape != config.input_shape:
        raise InputError(
            f"expected inputs of shape {config.input_shape}, as the model in {run.path} was "
            f"trained on, got {dataset.input_shape} from {dataset.name!r}"
        )
    if dataset.class_names != config.class_names:
        raise InputError(
            f"expected the classes {', '.join(config.class_names)}, as the model in {run.path} "
            f"has, got {', '.join(dataset.class_names)} from {dataset.name!r}"
        )
    return dataset


def load(path: str | Path) -> SmoothedClassifier:
    """The smoothed classifier of a run folder, on the best device there is.

    Feature vectors must be scaled to [0, 1] as the training data was: by the `feature_range` of
    the folder's `config.json`.

    Raises:
        RunFolderError: if there is no finished run.
    """
    return smoothed_classifier(RunFolder.open(Path(path)))


def smoothed_classifier(run: RunFolder, *, compile: bool = False) -> SmoothedClassifier:
    """The run's model as a smoothed classifier, on the best device there is."""
    config = run.read_config()
    return SmoothedClassifier(
        run.load_model().to(best_device()),
        config.ablation,
        config.num_classes,
        config.build_encoding(),
        precision=config.recipe.precision,
        compile=compile,
    )


def check_procedure(run: RunFolder, plan: SamplingPlan, alpha: float, rule: str) -> None:
    """Raise or warn now about what would make a long count useless.

    Raises:
        InputError: for alpha outside (0, 1) or an unknown rule.

    Warns:
        TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
    """
    check_rule(alpha, rule)
    warn_if_too_few(plan.num_samples, run.read_config().ablation, alpha, rule)


def count_votes(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    stages: Sequence[Stage] = (Stage.SELECTION, Stage.ESTIMATION),
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> None:
    """Count the votes that are not in the run's tallies yet, and store them as they come.

    Args:
        run: a trained run.
        dataset: the split that `indices` refer to.
        indices: images to count.
        plan: how many ablations.
        stages: what for.
        compile: run the base classifier through `torch.compile`.
        show_progress: draw a progress bar.
    """
    smoothed = smoothed_classifier(run, compile=compile)
    store = _store(run)
    with progress.bar(show_progress) as bar:
        for stage in stages:
            settings = _settings(run, dataset, plan, stage)
            missing = np.setdiff1d(indices, store.read(settings).indices)
            group = max(1, _BALLOTS_PER_GROUP // settings.num_samples)
            task = bar.add_task(
                f"{settings.stage}: {settings.num_samples} ablations per image",
                total=len(indices),
                completed=len(indices) - len(missing),
            )
            pending: list[StoredTally] = []
            flushed = time.monotonic()
            for start in range(0, len(missing), group):
                rows = missing[start : start + group]
                started = time.perf_counter()
                tally = smoothed.tally(
                    dataset.batch(rows), settings.num_samples, stage, plan.seed, rows
                )
                each = (time.perf_counter() - started) / len(rows)
                pending.append(StoredTally(rows, np.full(len(rows), each), tally))
                bar.update(task, advance=len(rows))
                if time.monotonic() - flushed > _FLUSH_SECONDS:
                    store.append(settings, pending)
                    pending, flushed = [], time.monotonic()
            store.append(settings, pending)
            store.compact(settings)


def measure(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float = 0.05,
    rule: str = "majority",
) -> Measurement:
    """Predictions, certificates and their evaluation, from stored tallies only.

    Raises:
        InputError: if some of the images have not been counted under this plan.
    """
    selection, estimation = (
        _stored(run, dataset, indices, plan, stage) for stage in (Stage.SELECTION, Stage.ESTIMATION)
    )
    config = run.read_config()
    targets = dataset.labels[indices]
    prediction = predict_tally(estimation.tally, alpha)
    certification = certify_tally(
        estimation.tally, selection.tally.top, config.ablation, alpha, rule
    )
    return Measurement(
        indices,
        targets,
        prediction,
        certification,
        selection.seconds + estimation.seconds,
        evaluate(prediction, certification, targets),
    )


def predict_run(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float = 0.05,
) -> Prediction:
    """Predictions from stored tallies of the prediction stage."""
    return predict_tally(_stored(run, dataset, indices, plan, Stage.PREDICTION).tally, alpha)


def _fitted(recipe: Recipe, input_shape: tuple[int, ...], epochs: int | None) -> Recipe:
    """The recipe as it will be followed, which is how the run folder records it."""
    # Moving an image of 8 x 8 pixels by a fraction of a pixel blurs away what it shows.
    tiny = len(input_shape) != 3 or min(input_shape[1:]) < 16
    return replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        augmentation="none" if tiny else recipe.augmentation,
        precision="float32" if tiny or not multiplies_bfloat16(best_device()) else recipe.precision,
    )


def _store(run: RunFolder) -> TallyStore:
    return TallyStore(run.tallies_path, run.read_config().num_classes)


def _settings(run: RunFolder, dataset: Dataset, plan: SamplingPlan, stage: Stage) -> TallySettings:
    samples = plan.num_selection if stage is Stage.SELECTION else plan.num_samples
    return TallySettings(
        run.fingerprint(), dataset.fingerprint(), plan.seed, stage.name.lower(), samples
    )


def _stored(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    stage: Stage,
) -> StoredTally:
    stored = _store(run).read(_settings(run, dataset, plan, stage))
    missing = np.setdiff1d(indices, stored.indices)
    if len(missing):
        raise InputError(
            f"{len(missing)} of {len(indices)} images have no {stage.name.lower()} votes in "
            f"{run.tallies_path} under this plan; run `sparsecert certify` first"
        )
    return stored.take(np.searchsorted(stored.indices, indices))


def _channel_mean(dataset: Dataset) -> tuple[float, ...]:
    """Mean of each channel of the training images, or of each feature."""
    axes = (0, 2, 3) if dataset.inputs.ndim == 4 else 0
    scale = 255 if dataset.inputs.dtype == np.uint8 else 1
    mean = np.atleast_1d(dataset.inputs.mean(axis=axes, dtype=np.float64)) / scale
    return tuple(mean.tolist())
