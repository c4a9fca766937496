"""The procedure of fixed families: every set casts its ballot, and nothing is left to chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import (
    Certification,
    Prediction,
    certify_ballots,
    check_abstain,
    check_top,
)
from sparsecert.data import Dataset
from sparsecert.designs.family import FamilyDesign, family_of
from sparsecert.designs.threats import SPARSE, threat_of
from sparsecert.procedures.execution import Execution, Finished, Task, Work
from sparsecert.procedures.procedure import (
    Measurement,
    Network,
    Procedure,
    RunImages,
    among_top,
    base_classifier,
)
from sparsecert.rules import FAMILY_RULES
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.votes.ballots import Ballots, BallotStore
from sparsecert.votes.store import Stored, VoteSettings

# As many images at once as keep the ensemble's matrix products large.
_BALLOTS_PER_GROUP = 100_000
# Read at once; as floating-point numbers 128 MiB.
_NUMBERS_AT_ONCE = 2**25


@dataclass(frozen=True)
class FamilyProcedure(Procedure):
    """All ballots of a family, read by a rule; certificates hold with certainty.

    Attributes:
        rule: "plurality", "run-off" or "pairwise".
        threat: "sparse", "patch:HxW" or "window:L".
        abstain: a ballot ranks one class above another only if its probability is higher by more
            than this; 0 for ballots that never abstain.
        top: K.

    Raises:
        InputError: for an unknown threat, or numbers out of range.
    """

    rule: str = FamilyDesign.rules[0]
    threat: str = SPARSE
    abstain: float = 0.0
    top: int = 1
    lacks: ClassVar[str] = "a fixed family, which casts all its ballots"

    def __post_init__(self) -> None:
        threat_of(self.threat)
        check_abstain(self.abstain)

    @property
    def alpha(self) -> float:
        """Nothing is left to chance."""
        return 0.0

    @property
    def sampling(self) -> str:
        """The number of ballots is that of the sets."""
        return "fixed"

    def classifier(self, run: RunFolder, *, compile: bool = False) -> FixedSmoothedClassifier:
        """The run's vote, on the best device there is."""
        family = family_of(run.config.design)
        return FixedSmoothedClassifier(ablation=family, compile=compile, **base_classifier(run))

    def count(self, images: RunImages, execution: Execution) -> None:
        """Cast the ballots that are missing; see `Procedure`."""
        store, settings = self._store(images), _settings(images)
        # What would make all of the ballots useless is said now.
        threat_of(self.threat).reach(family_of(images.run.config.design))
        has_top = FAMILY_RULES[self.rule].top is not None
        check_top(self.top, images.run.config.num_classes, self.rule, has_top)

        def keep(finished: Sequence[Finished[Ballots]]) -> None:
            parts = [Stored(f.images, f.seconds, f.result) for f in finished]
            store.append(settings, parts, {f.counted_by for f in finished})

        stored = store.read(settings)
        enough = stored.votes.has_probabilities | (not self.abstain)
        missing = np.setdiff1d(images.indices, stored.indices[enough])
        task = Task(Network.of(self, images.run), _group_size, partial(_cast, images.dataset))
        words = f"ballots: {store.num_sets} sets per image"
        execution.run(Work(words, len(images.indices), missing, task, keep))
        store.compact(settings)

    def measure(self, images: RunImages) -> Measurement:
        """Predictions and certificates of stored ballots; see `Procedure`."""
        stored, targets = self.stored(images), images.targets
        family, size = family_of(images.run.config.design), max(1, stored.votes.ranks[:1].size)
        step = max(1, _NUMBERS_AT_ONCE // size)
        starts = range(0, max(1, len(targets)), step)

        def certify(top: int, labels: NDArray[np.int64] | None = None) -> Certification:
            return Certification.concatenate(
                [
                    certify_ballots(
                        stored.votes.take(slice(at, at + step)).scores(self.abstain),
                        family,
                        self.rule,
                        threat=self.threat,
                        abstain=self.abstain,
                        top=top,
                        label=None if labels is None else labels[at : at + step],
                    )
                    for at in starts
                ]
            )

        certification = certify(top=1)
        label = certification.label
        if self.top != 1:
            certification = certify(self.top, targets)
            label = among_top(certification.radius >= 0, targets, label)
        prediction = Prediction(label, certification.tally.first_choice, rule=self.rule)
        return Measurement(images, prediction, certification, stored.seconds)

    def stored(self, images: RunImages) -> Stored[Ballots]:
        """The ballots of these images, in their order.

        Raises:
            InputError: if some have none.
        """
        what = f"ballots in {images.run.tallies_path}; run `sparsecert certify` first"
        return images.of(self._store(images).read(_settings(images)), what)

    def predict(self, images: RunImages, execution: Execution) -> Prediction:
        """Predictions are made from the same ballots as certificates."""
        self.count(images, execution)
        return self.measure(images).prediction

    def votes_settings(self, images: RunImages) -> tuple[VoteSettings, ...]:
        """Of the ballots; see `Procedure`."""
        return (_settings(images),)

    def rules_of_votes(self, images: RunImages) -> tuple[str, ...]:
        """All rules: ballots are whole rankings; but for those without a top K, if it is asked."""
        rules = images.run.config.design.rules
        return tuple(r for r in rules if self.top == 1 or FAMILY_RULES[r].top is not None)

    @classmethod
    def store_of(cls, run: RunFolder, num_images: int) -> BallotStore:
        """Its ballots; see `Procedure`."""
        num_sets = family_of(run.config.design).num_sets
        return BallotStore(run.tallies_path, num_sets, run.config.num_classes, num_images)

    def to_record(self, measurement: Measurement) -> dict[str, Any]:
        """What a record says of the procedure, as JSON values."""
        return {
            "rule": self.rule,
            "threat": self.threat,
            "abstain": self.abstain,
            "top": self.top,
            "num_selection": 0,
            "num_samples": int(measurement.certification.num_samples[0]),
            "sampling": self.sampling,
            "seed": 0,
            "alpha": self.alpha,
        }

    def _store(self, images: RunImages) -> BallotStore:
        return self.store_of(images.run, len(images.dataset))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FamilyProcedure:
        """The inverse of `to_record`; older records were of sparse attacks on one class."""
        known = {name: record[name] for name in ("threat", "abstain", "top") if name in record}
        return cls(record["rule"], **known)


def _group_size(smoothed: FixedSmoothedClassifier) -> int:
    return max(1, _BALLOTS_PER_GROUP // smoothed.ablation.num_sets)


def _cast(
    dataset: Dataset, smoothed: FixedSmoothedClassifier, images: NDArray[np.int64]
) -> Ballots:
    return Ballots.of(smoothed.ballots(dataset.batch(images)).numpy())


def _settings(images: RunImages) -> VoteSettings:
    return VoteSettings(images.run.fingerprint(), images.dataset.fingerprint())
