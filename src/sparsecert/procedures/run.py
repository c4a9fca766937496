"""What the commands do with a trained run: choose a procedure, count its votes, evaluate them.

Counting needs the network and is resumable; evaluating reads stored votes only, so alpha and the
rule can change at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sparsecert import data
from sparsecert.data import Dataset
from sparsecert.designs.design import Design, SampledDesign, check_rule_of
from sparsecert.evaluation import Estimate, share
from sparsecert.procedures.execution import Execution, LocalExecution
from sparsecert.procedures.family import FamilyProcedure
from sparsecert.procedures.procedure import Measurement, Procedure, RunImages
from sparsecert.procedures.sampled import SampledProcedure, base_answers
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage, stream

HERE = LocalExecution()


def procedure_for(design: Design, **given: Any) -> Procedure:
    """The procedure that goes with a design.

    Args:
        design: of a run.
        given: settings of the procedure; None stands for the default, of `rule` the design's first.

    Raises:
        InputError: for a rule that the design does not certify by, or a setting out of range, or
            one that the procedure does not have.
    """
    rule = given.get("rule") or design.rules[0]
    check_rule_of(design, rule)
    return _kind(design).of(design, given | {"rule": rule})


def recorded_procedure(design: Design, record: Mapping[str, Any]) -> Procedure:
    """The procedure that a record of a run with this design was measured by."""
    return _kind(design).from_record(record)


def _kind(design: Design) -> type[SampledProcedure] | type[FamilyProcedure]:
    """The one place that tells the kinds of procedure apart."""
    return SampledProcedure if isinstance(design, SampledDesign) else FamilyProcedure


def load_evaluation_data(
    run: RunFolder, dataset_name: str | None = None, split: str = "test"
) -> Dataset:
    """A split of the named data set, or of the run's own.

    Raises:
        InputError: if its inputs or classes are not those the model was trained on.
    """
    config = run.config
    dataset = data.load(dataset_name or config.dataset, split, config.feature_range)
    config.check_dataset(dataset, f"as the model in {run.path} was trained on")
    return dataset


def load(path: str | Path) -> SmoothedClassifier | FixedSmoothedClassifier:
    """The smoothed classifier of a run folder, on the best device there is.

    It takes inputs in [0, 1], rows of a table scaled as the training data was: `inputs_for` makes
    them.

    Raises:
        RunFolderError: if there is no finished run.
    """
    run = RunFolder.open(Path(path))
    return procedure_for(run.config.design).classifier(run)


def inputs_for(path: str | Path, new: Any) -> Tensor:
    """New, unlabelled inputs as the classifier of a run folder takes them.

    Args:
        path: of the run folder.
        new: paths of image files, or of a CSV file with a line of names; a DataFrame; or an array
            of rows, or of images; see `data.new_inputs`.

    Raises:
        InputError: for what cannot be read, or is not what the model was trained on.
        RunFolderError: if there is no finished run.
    """
    config = RunFolder.open(Path(path)).config
    return data.new_inputs(new, config.input_shape, config.feature_range)


def run_images(
    run: RunFolder, dataset_name: str | None = None, limit: int | None = None
) -> RunImages:
    """Test images to be certified, predicted or attacked.

    Args:
        run: a trained run.
        dataset_name: whose test split; by default the run's own data set.
        limit: number of images, spread evenly over the split; None for all.
    """
    data.check_limit(limit)
    dataset = load_evaluation_data(run, dataset_name)
    return RunImages(run, dataset, data.representatives(dataset.labels, limit))


def certify_images(
    images: RunImages, procedure: Procedure, execution: Execution = HERE
) -> Measurement:
    """Count the votes that are missing, then measure."""
    procedure.count(images, execution)
    return procedure.measure(images)


def base_accuracy(
    run: RunFolder, dataset: Dataset, limit: int | None = None, execution: Execution = HERE
) -> Estimate:
    """Share of inputs that the base classifier gets right, each seen through one ablation.

    Args:
        run: a trained run with a design that draws samples.
        dataset: a split.
        limit: number of inputs, drawn at random; all by default. Every n-th input of a data set
            need not be like the others: MNIST's training images at even indices are harder.
        execution: where ballots are counted.
    """
    data.check_limit(limit)
    order = stream(0, Stage.CHOICE_OF_INPUTS, 0).permutation(len(dataset))
    images = RunImages(run, dataset, np.sort(order[:limit]))
    return share(base_answers(images, execution) == images.targets)
