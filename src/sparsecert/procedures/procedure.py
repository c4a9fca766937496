"""What every procedure answers: what to count of a run's images, and what the votes say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import Certification, Prediction
from sparsecert.data import Dataset
from sparsecert.errors import InputError
from sparsecert.evaluation import Evaluation, evaluate
from sparsecert.procedures.execution import Execution
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier


@dataclass(frozen=True)
class Measurement:
    """Predictions and certificates of some images of a data set, from stored votes.

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


class Procedure(Protocol):
    """How votes on a run's images are obtained and read.

    Attributes:
        rule: by which they are read.
        alpha: error probability of each certificate; 0 where it holds with certainty.
        sampling: how ballots are sampled.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def rule(self) -> str: ...  # noqa: D102
    @property
    def alpha(self) -> float: ...  # noqa: D102
    @property
    def sampling(self) -> str: ...  # noqa: D102

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Procedure:
        """The inverse of `to_record`."""
        ...

    def classifier(
        self, run: RunFolder, *, compile: bool = False
    ) -> SmoothedClassifier | FixedSmoothedClassifier:
        """The run's model as a smoothed classifier, on the best device there is."""
        ...

    def count(
        self,
        run: RunFolder,
        dataset: Dataset,
        indices: NDArray[np.int64],
        execution: Execution,
        *,
        compile: bool = False,
    ) -> None:
        """Count the votes for certificates that are missing, and store them as they come.

        Args:
            run: a trained run.
            dataset: the split that `indices` refer to.
            indices: images.
            execution: where.
            compile: run the base classifier through `torch.compile`.
        """
        ...

    def measure(self, run: RunFolder, dataset: Dataset, indices: NDArray[np.int64]) -> Measurement:
        """Predictions, certificates and their evaluation, from stored votes alone.

        Raises:
            InputError: if some of the images have not been counted, or not with what the rule
                needs.
        """
        ...

    def predict(
        self,
        run: RunFolder,
        dataset: Dataset,
        indices: NDArray[np.int64],
        execution: Execution,
        *,
        compile: bool = False,
    ) -> Prediction:
        """Count the votes for predictions that are missing, and predict; see `count`."""
        ...

    def counted(self, run: RunFolder, dataset: Dataset) -> NDArray[np.int64]:
        """The images that have votes for certificates, rising."""
        ...

    def rules_of_votes(
        self, run: RunFolder, dataset: Dataset, indices: NDArray[np.int64]
    ) -> tuple[str, ...]:
        """The design's rules that the stored votes of these images suffice for."""
        ...

    def to_record(self, certification: Certification) -> dict[str, Any]:
        """What a record says of the procedure, as JSON values."""
        ...


def measured(
    indices: NDArray[np.int64],
    targets: NDArray[np.int64],
    prediction: Prediction,
    certification: Certification,
    seconds: NDArray[np.float64],
    num_unfinished: int = 0,
) -> Measurement:
    """A measurement, with its evaluation."""
    evaluation = evaluate(prediction, certification, targets)
    return Measurement(
        indices, targets, prediction, certification, seconds, evaluation, num_unfinished
    )


def places(indices: NDArray[np.int64], counted: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """Where each of these images is among those that have been counted.

    Args:
        indices: images.
        counted: images, rising.
        what: the rest of the sentence "3 of 20 images have no ...".

    Raises:
        InputError: if some of the images have not been counted.
    """
    missing = np.setdiff1d(indices, counted)
    if len(missing):
        raise InputError(f"{len(missing)} of {len(indices)} images have no {what}")
    return np.searchsorted(counted, indices)


def settings_of(procedure: type[Any], given: Mapping[str, Any], design: object) -> dict[str, Any]:
    """The settings that were given and are not None.

    Args:
        procedure: the dataclass that takes them.
        given: settings by name.
        design: of the run, to say what does not go with it.

    Raises:
        InputError: for a setting that the procedure does not have.
    """
    known = {field.name for field in dataclasses.fields(procedure)}
    settings = {name: value for name, value in given.items() if value is not None}
    if foreign := sorted(set(settings) - known):
        raise InputError(
            f"expected no {' and no '.join(foreign)} for {design}, a fixed family, which casts all "
            "its ballots"
        )
    return settings
