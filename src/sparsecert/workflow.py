"""What the commands do: train a run, count its votes, evaluate them.

Counting needs the network and is resumable; evaluating reads stored tallies only, so alpha and
the rule can change at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert import data, models
from sparsecert.certification import (
    Certification,
    Prediction,
    certify_tally,
    predict_tally,
    warn_if_too_few,
)
from sparsecert.counting import SamplingPlan, count_votes, smoothed_classifier, stored_votes
from sparsecert.data import Dataset
from sparsecert.designs import build_design, check_design
from sparsecert.devices import best_device, multiplies_bfloat16
from sparsecert.encoding import channel_mean
from sparsecert.errors import InputError
from sparsecert.evaluation import Estimate, Evaluation, evaluate, share
from sparsecert.recipes import Recipe, recipe_for
from sparsecert.runs import RunConfig, RunFolder
from sparsecert.smoothing import SmoothedClassifier
from sparsecert.streams import Stage, stream
from sparsecert.theory import check_rule
from sparsecert.training import train

# Of the channels of ImageNet's training images, as its pretrained networks use them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Procedure:
    """Which test images are certified, and how.

    Attributes:
        limit: number of images, spread evenly over the test split; None for all.
        plan: how many samples, and from which streams.
        alpha: error probability of each certificate and prediction.
        rule: "majority" or "margin".
    """

    limit: int | None = None
    plan: SamplingPlan = field(default_factory=SamplingPlan)
    alpha: float = 0.05
    rule: str = "majority"

    def __post_init__(self) -> None:
        check_rule(self.alpha, self.rule)
        data.check_limit(self.limit)

    def indices(self, dataset: Dataset) -> NDArray[np.int64]:
        """The images, as indices in the data set."""
        return data.evenly_spread(len(dataset), self.limit)


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
    out: Path,
    recipe: str,
    *,
    design: str = "uniform",
    design_settings: Mapping[str, Any],
    encoding: str = "two-channel",
    architecture: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> RunFolder:
    """Train a base classifier into a run folder, or finish one that was cut off.

    Args:
        dataset_name: as `sparsecert.data.load` takes it.
        out: the run folder.
        recipe: a key of `recipes.RECIPES`.
        design: a key of `designs.DESIGNS`.
        design_settings: num_retained for "uniform"; keep_probability and num_values for "lee2019".
        encoding: "two-channel" or "mean"; "none" for noise.
        architecture: a key of `models.ARCHITECTURES`; by default chosen by recipe and shape.
        epochs: instead of the recipe's.
        batch_size: instead of the recipe's, where memory is short.
        seed: of everything random in training.
        show_progress: draw a progress bar.
    """
    dataset = data.load(dataset_name, "train")
    num_features = check_design(design).features_of(dataset.input_shape)
    mean, std = standardisation(dataset, encoding)
    config = RunConfig(
        dataset=data.lasting_name(dataset_name),
        train_fingerprint=dataset.fingerprint(),
        input_shape=dataset.input_shape,
        feature_range=dataset.feature_range,
        class_names=dataset.class_names,
        architecture=architecture
        or models.default_architecture(dataset.input_shape, encoding, recipe),
        design=build_design(design, {**design_settings, "num_features": num_features}),
        encoding=encoding,
        encoding_mean=mean,
        encoding_std=std,
        recipe=_followed(
            recipe_for(recipe, dataset.input_shape, large=dataset.is_large),
            out,
            epochs=epochs,
            batch_size=batch_size,
        ),
        seed=seed,
    )
    config.build_model()  # a network that does not fit ends here, before there is a folder
    run = RunFolder.create(out, config)
    train(run, config, dataset, show_progress=show_progress)
    return run


def load_evaluation_data(
    run: RunFolder, dataset_name: str | None = None, split: str = "test"
) -> Dataset:
    """A split of the named data set, or of the run's own.

    Raises:
        InputError: if its inputs or classes are not those the model was trained on.
    """
    config = run.read_config()
    dataset = data.load(dataset_name or config.dataset, split, config.feature_range)
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


def certify_run(
    run: RunFolder,
    procedure: Procedure,
    dataset_name: str | None = None,
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> tuple[Dataset, Measurement]:
    """Count the votes that are missing, then measure.

    Args:
        run: a trained run.
        procedure: which images, and how.
        dataset_name: whose test split; by default the run's own data set.
        compile: run the base classifier through `torch.compile`.
        show_progress: draw a progress bar.

    Returns:
        The test split, and what was measured on it.

    Warns:
        TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
    """
    plan = procedure.plan
    design = run.read_config().design
    # What would make hours of counting useless is said now.
    warn_if_too_few(plan.num_samples, design, procedure.alpha, procedure.rule)
    dataset = load_evaluation_data(run, dataset_name)
    indices = procedure.indices(dataset)
    count_votes(run, dataset, indices, plan, compile=compile, show_progress=show_progress)
    return dataset, measure(run, dataset, procedure)


def measure(run: RunFolder, dataset: Dataset, procedure: Procedure) -> Measurement:
    """Predictions, certificates and their evaluation, from stored tallies only.

    Raises:
        InputError: if some of the images have not been counted under the procedure's plan.
    """
    indices = procedure.indices(dataset)
    selection, estimation = (
        stored_votes(run, dataset, indices, procedure.plan, stage)
        for stage in (Stage.SELECTION, Stage.ESTIMATION)
    )
    targets = dataset.labels[indices]
    prediction = predict_tally(estimation.tally, procedure.alpha)
    certification = certify_tally(
        estimation.tally,
        selection.tally.top,
        run.read_config().design,
        procedure.alpha,
        procedure.rule,
    )
    return Measurement(
        indices,
        targets,
        prediction,
        certification,
        selection.seconds + estimation.seconds,
        evaluate(prediction, certification, targets),
    )


def base_accuracy(
    run: RunFolder, dataset: Dataset, limit: int | None = None, *, show_progress: bool = False
) -> Estimate:
    """Share of inputs that the base classifier gets right, each seen through one ablation.

    Args:
        run: a trained run.
        dataset: a split.
        limit: number of inputs, drawn at random; all by default. Every n-th input of a data set
            need not be like the others: MNIST's training images at even indices are harder.
        show_progress: draw a progress bar.
    """
    data.check_limit(limit)
    order = stream(0, Stage.CHOICE_OF_INPUTS, 0).permutation(len(dataset))
    indices = np.sort(order[:limit])
    plan = SamplingPlan(num_samples=1)
    count_votes(run, dataset, indices, plan, [Stage.EVALUATION], show_progress=show_progress)
    stored = stored_votes(run, dataset, indices, plan, Stage.EVALUATION)
    return share(stored.tally.top == dataset.labels[indices])


def predict_run(
    run: RunFolder,
    dataset: Dataset,
    indices: NDArray[np.int64],
    plan: SamplingPlan,
    alpha: float = 0.05,
) -> Prediction:
    """Predictions from stored tallies of the prediction stage."""
    return predict_tally(stored_votes(run, dataset, indices, plan, Stage.PREDICTION).tally, alpha)


def standardisation(
    dataset: Dataset, encoding: str
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and standard deviation by channel for the encoding, where it uses them."""
    if encoding == "none":
        return None, None
    if dataset.is_large:
        return IMAGENET_MEAN, None if encoding == "mean" else IMAGENET_STD
    return channel_mean(dataset.inputs) if encoding == "mean" else None, None


def _followed(recipe: Recipe, out: Path, **overrides: int | None) -> Recipe:
    """The recipe as it will be followed, which is how the run folder records it."""
    run = RunFolder(out)
    if run.config_path.exists():  # begun, perhaps on another machine
        precision = run.read_config().recipe.precision
    else:
        precision = recipe.precision if multiplies_bfloat16(best_device()) else "float32"
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    return replace(recipe, precision=precision, **given)
