"""What the commands do with a trained run: choose a procedure, count its votes, evaluate them.

Counting needs the network and is resumable; evaluating reads stored votes only, so alpha and the
rule can change at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sparsecert import data
from sparsecert.data import Dataset, Shard
from sparsecert.designs.design import Design, SampledDesign, check_rule_of
from sparsecert.errors import InputError
from sparsecert.evaluation import Estimate, share
from sparsecert.procedures.execution import Execution, LocalExecution
from sparsecert.procedures.family import FamilyProcedure
from sparsecert.procedures.procedure import Measurement, Procedure, RunImages
from sparsecert.procedures.sampled import SampledProcedure, base_answers
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.hub import locate
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage, stream
from sparsecert.votes.store import VoteStore

MOST_IMAGES = (
    2**26
)  # of a data set that is not at hand; votes that say they are on more are refused


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


def store_of(run: RunFolder, num_images: int) -> VoteStore[Any, Any]:
    """The votes of a run.

    Args:
        run: whose.
        num_images: the most that a data set has.
    """
    return _kind(run.config.design).store_of(run, num_images)


def _kind(design: Design) -> type[Procedure]:
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


def load(
    run: str | Path, revision: str | None = None
) -> SmoothedClassifier | FixedSmoothedClassifier:
    """The smoothed classifier of a run, on the best device there is.

    It takes inputs in [0, 1], rows of a table scaled as the training data was: `inputs_for` makes
    them.

    Args:
        run: its folder, or the name of a repository on the Hugging Face Hub, such as `user/name`;
            a folder of that name comes first.
        revision: branch, tag or commit on the Hub; its main branch by default.

    Raises:
        InputError: for a name that the Hub does not have.
        RunFolderError: if there is no finished run.
    """
    found = RunFolder.open(*locate(run, revision))
    return procedure_for(found.config.design).classifier(found)


def inputs_for(run: str | Path, new: Any) -> Tensor:
    """New, unlabelled inputs as the classifier of a run folder takes them.

    Args:
        run: its folder, or its name on the Hugging Face Hub, as of `load`.
        new: paths of image files, or of a CSV file with a line of names; a DataFrame; or an array
            of rows, or of images; see `data.new_inputs`.

    Raises:
        InputError: for what cannot be read, or is not what the model was trained on.
        RunFolderError: if there is no finished run.
    """
    config = RunFolder.open(*locate(run)).config
    return data.new_inputs(new, config.input_shape, config.feature_range)


def run_images(
    run: RunFolder,
    dataset_name: str | None = None,
    limit: int | None = None,
    shard: Shard | None = None,
) -> RunImages:
    """Test images to be certified, predicted or attacked.

    Args:
        run: a trained run.
        dataset_name: whose test split; by default the run's own data set.
        limit: number of images, spread evenly over the split; None for all.
        shard: the share of them; None for all.
    """
    data.check_limit(limit)
    dataset = load_evaluation_data(run, dataset_name)
    images = RunImages(run, dataset, data.representatives(dataset.labels, limit))
    return images if shard is None else images.take(shard.rows(len(images.indices)))


def recorded_images(run: RunFolder, record: Mapping[str, Any]) -> RunImages:
    """The images that a record of this run is about."""
    shard = record.get("shard")
    share = None if shard is None else Shard.parse(shard)
    return run_images(run, record["dataset"], record["limit"], share)


def place_for(images: RunImages, shard: Shard | None, out: Path | None) -> RunImages:
    """The same images, in the folder where what is done with them goes.

    That of a shard is a run folder in the run's own, so that no two shards write to one folder.
    What the run has counted of the images is taken over.

    Args:
        images: of a run.
        shard: that they are.
        out: a run folder to write to instead.

    Raises:
        RunFolderError: if the folder holds another run or other files, or is not writable.
    """
    run = images.run
    if out is None:
        if shard is None:
            return images
        out = run.shards_path / f"{shard.number}-of-{shard.count}"
    place = replace(images, run=run.copied_to(out))
    take_over_votes(run, place.run, images)
    return place


def take_over_votes(run: RunFolder, into: RunFolder, only: RunImages | None = None) -> None:
    """Add the votes that one run folder holds to those in another of the same run.

    Args:
        run: where from.
        into: where to.
        only: the images; by default all.

    Raises:
        RunFolderError: for votes that are damaged or of another model.
    """
    theirs, ours = (store_of(folder, MOST_IMAGES) for folder in (run, into))
    ours.take_over(theirs, into.fingerprint(), None if only is None else only.choice)


def certify_images(
    images: RunImages, procedure: Procedure, execution: Execution | None = None
) -> Measurement:
    """Count the votes that are missing, by default in this process, then measure."""
    procedure.count(images, execution or LocalExecution())
    return procedure.measure(images)


def base_accuracy(
    run: RunFolder,
    dataset: Dataset,
    limit: int | None = None,
    execution: Execution | None = None,
    shard: Shard | None = None,
) -> Estimate:
    """Share of inputs that the base classifier gets right, each seen through one ablation.

    Args:
        run: a trained run with a design that draws samples.
        dataset: a split.
        limit: number of inputs, drawn at random; all by default. Every n-th input of a data set
            need not be like the others: MNIST's training images at even indices are harder.
        execution: where ballots are counted; by default in this process.
        shard: the share of them; None for all.

    Raises:
        InputError: for a fixed family, whose ballots are not drawn.
    """
    data.check_limit(limit)
    if not isinstance(run.config.design, SampledDesign):
        raise InputError(
            f"expected a run whose design draws samples, got {run.config.design}, whose ballots "
            "`sparsecert certify` casts"
        )
    order = stream(0, Stage.CHOICE_OF_INPUTS, 0).permutation(len(dataset))
    images = RunImages(run, dataset, np.sort(order[:limit]))
    if shard is not None:
        images = images.take(shard.rows(len(images.indices)))
    images = place_for(images, shard, None)
    return share(base_answers(images, execution or LocalExecution()) == images.targets)
