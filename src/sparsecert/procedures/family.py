"""The procedure of fixed families: every set casts its ballot, and nothing is left to chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert.certification import Certification, Prediction, certify_ballots
from sparsecert.data import Dataset
from sparsecert.designs.family import Partitions, family_of
from sparsecert.devices import best_device
from sparsecert.procedures.execution import Execution, Finished, Work
from sparsecert.procedures.procedure import Measurement, measured, places
from sparsecert.runs.folder import RunFolder
from sparsecert.smoothing.family import FixedSmoothedClassifier
from sparsecert.votes.ballots import Ballots, BallotStore, ranks_of
from sparsecert.votes.store import Stored, VoteSettings

# As many images at once as keep the ensemble's matrix products large.
_BALLOTS_PER_GROUP = 100_000


@dataclass(frozen=True)
class FamilyProcedure:
    """All ballots of a family, read by a rule.

    Attributes:
        rule: "plurality", "run-off" or "pairwise".
    """

    rule: str = Partitions.rules[0]

    @property
    def alpha(self) -> float:
        """Certificates hold with certainty."""
        return 0.0

    @property
    def sampling(self) -> str:
        """The number of ballots is that of the sets."""
        return "fixed"

    def classifier(self, run: RunFolder, *, compile: bool = False) -> FixedSmoothedClassifier:
        """The run's model as a smoothed classifier, on the best device there is."""
        config = run.read_config()
        return FixedSmoothedClassifier(
            run.load_model().to(best_device()),
            family_of(config.design),
            config.num_classes,
            config.build_encoding(),
            precision=config.recipe.precision,
            compile=compile,
        )

    def count(
        self,
        run: RunFolder,
        dataset: Dataset,
        indices: NDArray[np.int64],
        execution: Execution,
        *,
        compile: bool = False,
    ) -> None:
        """Cast the ballots that are missing; see `Procedure`."""
        store, settings = _store(run), _settings(run, dataset)
        num_sets = store.num_sets

        def start() -> tuple[int, Callable[[NDArray[np.int64]], Ballots]]:
            smoothed = self.classifier(run, compile=compile)

            def cast(images: NDArray[np.int64]) -> Ballots:
                return Ballots(ranks_of(smoothed.ballots(dataset.batch(images)).numpy()))

            return max(1, _BALLOTS_PER_GROUP // num_sets), cast

        def keep(finished: Sequence[Finished[Ballots]]) -> None:
            store.append(settings, [Stored(f.images, f.seconds, f.result) for f in finished])

        missing = np.setdiff1d(indices, store.read(settings).indices)
        words = f"ballots: {num_sets} sets per image"
        execution.run(Work(words, len(indices), missing, start, keep))
        store.compact(settings)

    def measure(self, run: RunFolder, dataset: Dataset, indices: NDArray[np.int64]) -> Measurement:
        """Predictions and certificates of stored ballots; see `Procedure`."""
        stored = _store(run).read(_settings(run, dataset))
        what = f"ballots in {run.tallies_path}; run `sparsecert certify` first"
        stored = stored.take(places(indices, stored.indices, what))
        family = family_of(run.read_config().design)
        certification = certify_ballots(stored.votes.scores, family, self.rule)
        prediction = Prediction(certification.label, certification.tally.first_choice)
        return measured(indices, dataset.labels[indices], prediction, certification, stored.seconds)

    def predict(
        self,
        run: RunFolder,
        dataset: Dataset,
        indices: NDArray[np.int64],
        execution: Execution,
        *,
        compile: bool = False,
    ) -> Prediction:
        """Predictions are made from the same ballots as certificates."""
        self.count(run, dataset, indices, execution, compile=compile)
        return self.measure(run, dataset, indices).prediction

    def counted(self, run: RunFolder, dataset: Dataset) -> NDArray[np.int64]:
        """The images that have ballots, rising."""
        return _store(run).read(_settings(run, dataset)).indices

    def rules_of_votes(
        self, run: RunFolder, dataset: Dataset, indices: NDArray[np.int64]
    ) -> tuple[str, ...]:
        """All rules: ballots are whole rankings."""
        return Partitions.rules

    def to_record(self, certification: Certification) -> dict[str, Any]:
        """What a record says of the procedure, as JSON values."""
        return {
            "rule": self.rule,
            "num_selection": 0,
            "num_samples": int(certification.num_samples[0]),
            "sampling": self.sampling,
            "seed": 0,
            "alpha": self.alpha,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FamilyProcedure:
        """The inverse of `to_record`."""
        return cls(record["rule"])


def _store(run: RunFolder) -> BallotStore:
    config = run.read_config()
    return BallotStore(run.tallies_path, family_of(config.design).num_sets, config.num_classes)


def _settings(run: RunFolder, dataset: Dataset) -> VoteSettings:
    return VoteSettings(run.fingerprint(), dataset.fingerprint())
