"""What the commands do with a trained run: count its votes, evaluate them.

Counting needs the network and is resumable; evaluating reads stored tallies only, so alpha and
the rule can change at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsecert import data
from sparsecert.certification import (
    Certification,
    Prediction,
    certify_tally,
    predict_tally,
    select_label,
    warn_if_too_few,
)
from sparsecert.data import Dataset
from sparsecert.designs.design import AnyDesign, check_rule_of
from sparsecert.designs.partitions import Partitions
from sparsecert.errors import InputError, check_alpha
from sparsecert.evaluation import Estimate, Evaluation, evaluate, share
from sparsecert.fixed_certification import certify_ballots
from sparsecert.procedures.family import cast_ballots, fixed_classifier, stored_ballots
from sparsecert.procedures.sampled import (
    SamplingPlan,
    count_votes,
    smoothed_classifier,
    stored_votes,
)
from sparsecert.procedures.sequential import count_certificates, count_predictions, replay
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage, stream


@dataclass(frozen=True)
class Procedure:
    """Which test images are certified, and how.

    Attributes:
        limit: number of images, spread evenly over the test split; None for all.
        plan: how many samples, and from which streams.
        alpha: error probability of each certificate and prediction.
        rule: one of the design's; None for its first.
        bound: of fixed families: "sum" or "exact".
    """

    limit: int | None = None
    plan: SamplingPlan = field(default_factory=SamplingPlan)
    alpha: float = 0.05
    rule: str | None = None
    bound: str = "sum"

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        data.check_limit(self.limit)

    def rule_of(self, design: AnyDesign) -> str:
        """The rule, for a run with this design.

        Raises:
            InputError: if the design does not certify by it.
        """
        rule = design.rules[0] if self.rule is None else self.rule
        check_rule_of(design, rule)
        return rule

    def indices(self, dataset: Dataset) -> NDArray[np.int64]:
        """The images, as indices in the data set."""
        return data.representatives(dataset.labels, self.limit)


@dataclass(frozen=True)
class Measurement:
    """Predictions and certificates of some images of a data set, from stored tallies.

    Attributes:
        indices: `(images,)` indices in the data set.
        targets: `(images,)` correct labels.
        prediction: PREDICT of the same rule, from the estimation votes. They are independent of
            the selection and as many as the paper's prediction draws, so no further pass is
            needed.
        certification: CERTIFY from selection and estimation votes.
        seconds: `(images,)` time each image took.
        evaluation: the quantities of the paper.
        num_unfinished: images that this rule and alpha would have counted further, where the
            counting was for others. Their certificates hold and may be smaller than need be.
    """

    indices: NDArray[np.int64]
    targets: NDArray[np.int64]
    prediction: Prediction
    certification: Certification
    seconds: NDArray[np.float64]
    evaluation: Evaluation
    num_unfinished: int = 0


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


def load(path: str | Path) -> SmoothedClassifier | FixedSmoothedClassifier:
    """The smoothed classifier of a run folder, on the best device there is.

    Feature vectors must be scaled to [0, 1] as the training data was: by the `feature_range` of
    the folder's `config.json`.

    Raises:
        RunFolderError: if there is no finished run.
    """
    run = RunFolder.open(Path(path))
    if isinstance(run.read_config().design, Partitions):
        return fixed_classifier(run)
    return smoothed_classifier(run)


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
    plan, design = procedure.plan, run.read_config().design
    # What would make hours of counting useless is said now.
    rule = procedure.rule_of(design)
    _check_sampling_of(design, plan)
    if not isinstance(design, Partitions):
        warn_if_too_few(plan.num_samples, design, procedure.alpha, rule)
    dataset = load_evaluation_data(run, dataset_name)
    indices = procedure.indices(dataset)
    options = {"compile": compile, "show_progress": show_progress}
    if isinstance(design, Partitions):
        cast_ballots(run, dataset, indices, **options)
    elif plan.sampling == "sequential":
        count_certificates(run, dataset, indices, plan, procedure.alpha, rule, **options)
    else:
        count_votes(run, dataset, indices, plan, compile=compile, show_progress=show_progress)
    return dataset, measure(run, dataset, procedure)


def measure(run: RunFolder, dataset: Dataset, procedure: Procedure) -> Measurement:
    """Predictions, certificates and their evaluation, from stored tallies only.

    Raises:
        InputError: if some of the images have not been counted under the procedure's plan, or not
            with the head-to-head counts that the pairwise rule needs.
    """
    design, indices = run.read_config().design, procedure.indices(dataset)
    targets, rule = dataset.labels[indices], procedure.rule_of(design)
    num_unfinished = 0
    if isinstance(design, Partitions):
        ballots = stored_ballots(run, dataset, indices)
        seconds, scores = ballots.seconds, ballots.votes.scores
        certification = certify_ballots(scores, design.ablation, rule, procedure.bound)
        prediction = Prediction(certification.label, certification.tally.first_choice)
    elif procedure.plan.sampling == "sequential":
        found = replay(run, dataset, indices, procedure.plan, procedure.alpha, rule)
        prediction, certification, seconds = found.prediction, found.certification, found.seconds
        num_unfinished = int((~found.finished).sum())
    else:
        selection, estimation = (
            stored_votes(run, dataset, indices, procedure.plan, stage)
            for stage in (Stage.SELECTION, Stage.ESTIMATION)
        )
        seconds = selection.seconds + estimation.seconds
        prediction = predict_tally(estimation.votes, procedure.alpha, rule)
        label = select_label(selection.votes, rule)
        certification = certify_tally(estimation.votes, label, design, procedure.alpha, rule)
    return Measurement(
        indices,
        targets,
        prediction,
        certification,
        seconds,
        evaluate(prediction, certification, targets),
        num_unfinished,
    )


def rules_of_votes(run: RunFolder, dataset: Dataset, procedure: Procedure) -> tuple[str, ...]:
    """The design's rules that the stored votes suffice for: pairwise needs recorded rankings."""
    design, indices = run.read_config().design, procedure.indices(dataset)
    rules = design.rules
    if isinstance(design, Partitions):
        return rules
    if procedure.plan.sampling == "sequential":
        return rules  # rankings have been recorded since there are sequential votes
    for stage in (Stage.SELECTION, Stage.ESTIMATION):
        tally = stored_votes(run, dataset, indices, procedure.plan, stage).votes
        if not tally.has_fewest_wins:
            return tuple(rule for rule in rules if rule != "pairwise")
    return rules


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
    return share(stored.votes.top == dataset.labels[indices])


def predict_run(
    run: RunFolder,
    procedure: Procedure,
    dataset_name: str | None = None,
    *,
    compile: bool = False,
    show_progress: bool = False,
) -> tuple[Dataset, Prediction]:
    """Count the votes that are missing, those for prediction, and predict.

    Arguments are those of `certify_run`; of the plan, `num_selection` is not used.

    Returns:
        The test split, and predictions of the procedure's images.
    """
    plan, design = procedure.plan, run.read_config().design
    _check_sampling_of(design, plan)
    options = {"compile": compile, "show_progress": show_progress}
    if isinstance(design, Partitions):
        dataset, measurement = certify_run(run, procedure, dataset_name, **options)
        return dataset, measurement.prediction
    rule, dataset = procedure.rule_of(design), load_evaluation_data(run, dataset_name)
    indices, stage = procedure.indices(dataset), Stage.PREDICTION
    if plan.sampling == "sequential":
        counted = count_predictions(run, dataset, indices, plan, procedure.alpha, rule, **options)
        return dataset, counted
    count_votes(run, dataset, indices, plan, [stage], **options)
    stored = stored_votes(run, dataset, indices, plan, stage)
    return dataset, predict_tally(stored.votes, procedure.alpha, rule)


def _check_sampling_of(design: AnyDesign, plan: SamplingPlan) -> None:
    if isinstance(design, Partitions) and plan.sampling != "fixed":
        raise InputError(
            f"expected sampling to be fixed for a fixed family, which casts all its ballots, got "
            f"{plan.sampling!r}"
        )
