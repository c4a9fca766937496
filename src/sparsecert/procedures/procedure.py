"""What every procedure answers: what to count of a run's images, and what the votes say."""

from __future__ import annotations

import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import Certification, Prediction
from sparsecert.data import Dataset
from sparsecert.designs.threats import Threat
from sparsecert.devices import best_device, multiplies_bfloat16
from sparsecert.errors import InputError, SlowPrecisionWarning
from sparsecert.evaluation import Evaluation, evaluate
from sparsecert.procedures.execution import Execution
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.theory.prediction import ABSTAIN
from sparsecert.votes.store import Choice, Stored, VoteSettings, VotesT, VoteStore


@dataclass(frozen=True)
class RunImages:
    """Some images of a data set, and the run whose votes on them are meant.

    Attributes:
        run: a trained run.
        dataset: the split that `indices` refer to.
        indices: `(images,)` indices in the data set.
    """

    run: RunFolder
    dataset: Dataset
    indices: NDArray[np.int64]

    @property
    def targets(self) -> NDArray[np.int64]:
        """`(images,)` correct labels."""
        return self.dataset.labels[self.indices]

    @property
    def choice(self) -> Choice:
        """Which images they are, as stored votes are named."""
        return Choice(self.dataset.fingerprint(), self.indices)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> RunImages:
        """The images at these rows."""
        return RunImages(self.run, self.dataset, self.indices[rows])

    def of(self, stored: Stored[VotesT], what: str) -> Stored[VotesT]:
        """What is stored of these images, in their order.

        Args:
            stored: of images of the data set.
            what: the rest of the sentence "3 of 20 images have no ...".

        Raises:
            InputError: if nothing is stored of some.
        """
        missing = np.setdiff1d(self.indices, stored.indices)
        if len(missing):
            raise InputError(f"{len(missing)} of {len(self.indices)} images have no {what}")
        return stored.take(np.searchsorted(stored.indices, self.indices))


@dataclass(frozen=True)
class Measurement:
    """Predictions and certificates of some images of a data set, from stored votes.

    Attributes:
        images: the images.
        prediction: PREDICT of the same rule, from the estimation votes. They are independent of
            the selection and as many as the paper's prediction draws, so no further pass is
            needed.
        certification: CERTIFY from selection and estimation votes.
        seconds: `(images,)` time each image took.
        num_unfinished: images that this rule and alpha would have counted further, where the
            counting was for others. Their certificates hold and may be smaller than need be.
    """

    images: RunImages
    prediction: Prediction
    certification: Certification
    seconds: NDArray[np.float64]
    num_unfinished: int = 0

    @property
    def indices(self) -> NDArray[np.int64]:
        """`(images,)` indices in the data set."""
        return self.images.indices

    @property
    def targets(self) -> NDArray[np.int64]:
        """`(images,)` correct labels."""
        return self.images.targets

    @cached_property
    def evaluation(self) -> Evaluation:
        """The quantities of the paper."""
        return evaluate(self.prediction, self.certification, self.targets)

    @property
    def threat(self) -> Threat:
        """What the radii are against."""
        return self.certification.threat


class Procedure(ABC):
    """How votes on a run's images are obtained and read; a frozen dataclass of its settings.

    Attributes:
        lacks: why it has none of the settings of another kind, as the end of a sentence.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    lacks: ClassVar[str]

    @property
    @abstractmethod
    def rule(self) -> str:
        """By which votes are read."""

    @property
    @abstractmethod
    def top(self) -> int:
        """K: certificates say that the correct class stays among the top K; 1 for the class."""

    @property
    @abstractmethod
    def alpha(self) -> float:
        """Error probability of each certificate; 0 where it holds with certainty."""

    @property
    @abstractmethod
    def sampling(self) -> str:
        """How ballots are sampled."""

    @abstractmethod
    def classifier(
        self, run: RunFolder, *, compile: bool = False
    ) -> SmoothedClassifier | FixedSmoothedClassifier:
        """The run's model as a smoothed classifier, on the best device there is."""

    @abstractmethod
    def count(self, images: RunImages, execution: Execution) -> None:
        """Count the votes for certificates that are missing, and store them as they come."""

    def count_as_far(
        self, images: RunImages, store: VoteStore[Any, Any], execution: Execution
    ) -> None:
        """Count the votes for certificates as far as those of the same images in a store went."""
        self.count(images, execution)

    @abstractmethod
    def measure(self, images: RunImages) -> Measurement:
        """Predictions, certificates and their evaluation, from stored votes alone.

        Raises:
            InputError: if some of the images have not been counted, or not with what the rule
                needs.
        """

    @abstractmethod
    def predict(self, images: RunImages, execution: Execution) -> Prediction:
        """Count the votes for predictions that are missing, store them, and predict."""

    @abstractmethod
    def votes_settings(self, images: RunImages) -> tuple[VoteSettings, ...]:
        """Under which the votes that certify are stored."""

    def counted(self, images: RunImages) -> NDArray[np.bool_]:
        """`(images,)` which have votes for certificates."""
        store = self.store_of(images.run, len(images.dataset))
        counted = np.ones(len(images.indices), dtype=np.bool_)
        for settings in self.votes_settings(images):
            counted &= np.isin(images.indices, store.read(settings).indices)
        return counted

    def counted_by(self, images: RunImages) -> set[str]:
        """What cast the votes that certify, in words: more than one mixed several classifiers."""
        store = self.store_of(images.run, len(images.dataset))
        return set[str]().union(*map(store.counted_by, self.votes_settings(images)))

    @abstractmethod
    def rules_of_votes(self, images: RunImages) -> tuple[str, ...]:
        """The design's rules that the stored votes of these images suffice for."""

    @classmethod
    @abstractmethod
    def store_of(cls, run: RunFolder, num_images: int) -> VoteStore[Any, Any]:
        """The votes of such procedures in a run folder.

        Args:
            run: whose.
            num_images: the most that a data set has.
        """

    @abstractmethod
    def to_record(self, measurement: Measurement) -> dict[str, Any]:
        """What a record says of the procedure of a measurement, as JSON values."""

    @classmethod
    @abstractmethod
    def from_record(cls, record: Mapping[str, Any]) -> Procedure:
        """The inverse of `to_record`."""

    @classmethod
    def of(cls, design: object, given: Mapping[str, Any]) -> Procedure:
        """From settings by name, None standing for a default.

        Args:
            design: of the run, to say what does not go with it.
            given: the settings.

        Raises:
            InputError: for a setting that the procedure does not have.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        settings = {name: value for name, value in given.items() if value is not None}
        if foreign := sorted(set(settings) - known):
            raise InputError(f"expected no {' and no '.join(foreign)} for {design}, {cls.lacks}")
        return cls(**settings)


@dataclass(frozen=True)
class Network:
    """How a process comes to a run's smoothed classifier.

    Attributes:
        procedure: whose classifier it is.
        path: of the run folder, absolute.
        fingerprint: of the run that is meant.
    """

    procedure: Procedure
    path: Path
    fingerprint: str

    @classmethod
    def of(cls, procedure: Procedure, run: RunFolder) -> Network:
        """That of this run."""
        return cls(procedure, run.path.absolute(), run.fingerprint())

    def __call__(self, compile: bool) -> SmoothedClassifier | FixedSmoothedClassifier:
        """Load it.

        Raises:
            RunFolderError: if the folder is not there, or holds another run.
        """
        run = RunFolder.open(self.path)
        run.check_fingerprint(self.fingerprint, "the command is about")
        return self.procedure.classifier(run, compile=compile)


def base_classifier(run: RunFolder) -> dict[str, Any]:
    """The run's network and how it votes, as smoothed classifiers take it.

    Warns:
        SlowPrecisionWarning: if it votes in bfloat16, and this device has no instructions for it.
    """
    config, device = run.config, best_device()
    if config.recipe.precision == "bfloat16" and not multiplies_bfloat16(device):
        warnings.warn(
            f"the network of {run.path} votes in bfloat16, which this device has no instructions "
            "for, so its ballots take many times as long as in float32; a run with its weights "
            f"that is begun here votes in float32: sparsecert train --epochs 0 --start {run.path}",
            SlowPrecisionWarning,
            stacklevel=2,
        )
    return {
        "base": run.load_model().to(device),
        "num_classes": config.num_classes,
        "encoding": config.build_encoding(),
        "precision": config.recipe.precision,
    }


def among_top(
    member: NDArray[np.bool_], targets: NDArray[np.int64], label: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`(images,)` what counts as predicted where the top K are asked for.

    Args:
        member: whether the correct class is among them.
        targets: correct classes.
        label: what is predicted otherwise; nothing where that would be correct.
    """
    return np.where(member, targets, np.where(label == targets, ABSTAIN, label))
