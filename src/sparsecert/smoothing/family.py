"""The smoothed classifier over a fixed family: one ballot per retained set, nothing sampled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.certification import Certification, Prediction, certify_ballots
from sparsecert.designs.family import FixedAblation, check_family
from sparsecert.designs.threats import SPARSE, Threat
from sparsecert.errors import InputError
from sparsecert.models.subset_ensemble import BallotNetwork
from sparsecert.smoothing.encoding import Encoding
from sparsecert.smoothing.voter import Voter
from sparsecert.streams import Stage, stream
from sparsecert.votes.ballots import Ballots


class FixedSmoothedClassifier(Voter):
    """The vote of every retained set of a family.

    Inputs are those of `SmoothedClassifier`. Predictions and certificates are functions of the
    input alone and hold with certainty.

    Args:
        base: a `SubsetEnsemble` or `BandNetwork` for this family; or any base classifier, as of
            `SmoothedClassifier`, trained on inputs ablated by the family, which is run once for
            each set.
        ablation: the family.
        num_classes: number of classes.
        encoding: "two-channel", or an `Encoding` such as `MeanEncoding(mean)`.
        ballots_per_pass: inputs of `base` per forward pass; by default as for
            `SmoothedClassifier`.
        precision: "float32", or "bfloat16" for a base classifier trained in it.
        compile: run the base classifier through `torch.compile`.

    Raises:
        InputError: for an ensemble of another family, whose members would see other features than
            the certificates say.
    """

    ablation: FixedAblation

    def __init__(
        self,
        base: object,
        ablation: FixedAblation,
        num_classes: int,
        encoding: str | Encoding = "two-channel",
        *,
        ballots_per_pass: int | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        check_family(ablation)
        super().__init__(
            base,
            ablation,
            num_classes,
            encoding,
            ballots_per_pass=ballots_per_pass,
            precision=precision,
            compile=compile,
        )
        if isinstance(base, BallotNetwork) and not base.is_for(ablation.membership):
            raise InputError(
                "expected a network with one member or crop for each set of the family, in its "
                "order, got one for other sets"
            )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of what the base classifier gives for one encoded input."""
        ensemble = isinstance(self.base, BallotNetwork)
        return (self.ablation.num_sets, self.num_classes) if ensemble else (self.num_classes,)

    def predict(self, x: Tensor, rule: str = "plurality", *, abstain: float = 0.0) -> Prediction:
        """The classes that the ballots of all sets give; it never abstains.

        Args:
            x: inputs.
            rule: "plurality", "run-off" or "pairwise".
            abstain: as for `certify`.
        """
        certification = self.certify(x, rule, abstain=abstain)
        return Prediction(certification.label, certification.tally.first_choice, rule=rule)

    def certify(
        self,
        x: Tensor,
        rule: str = "plurality",
        *,
        threat: str | Threat = SPARSE,
        abstain: float = 0.0,
        top: int = 1,
        label: ArrayLike | None = None,
    ) -> Certification:
        """Classes and certified radii; see `certify_ballots`.

        Args:
            x: inputs.
            rule: "plurality", "run-off" or "pairwise".
            threat: "sparse", "patch:HxW" or "window:L".
            abstain: a ballot ranks one class above another only if its probability, in steps of
                1/255, is higher by more than this; 0 for ballots that never abstain.
            top: K: certify that the label stays among the top K.
            label: `(batch,)` classes to certify; by default the rule's.

        Raises:
            InputError: as `ballots`, and for images of another shape than the family's.
        """
        shape = self.ablation.image_shape
        if shape is not None and x.ndim == 4 and tuple(x.shape[2:]) != tuple(shape):
            raise InputError(f"expected images of {shape}, as the family's, got {x.shape[2:]}")
        scores = self.ballots(x).numpy()
        if rule != "plurality" or abstain:
            self.check_rankings(rule)
        if abstain:
            scores = Ballots.of(scores).scores(abstain)
        return certify_ballots(
            scores, self.ablation, rule, threat=threat, abstain=abstain, top=top, label=label
        )

    def ballots(self, x: Tensor) -> Float[Tensor, "batch sets classes"]:
        """The logits of every set's ballot, on the CPU.

        Raises:
            InputError: for inputs of the wrong type, shape or range, or a base classifier that
                does not take them, or gives another shape, or NaN.
        """
        with torch.inference_mode():
            return self._logits(x).cpu()

    def few_ballots(
        self, x: Tensor, number: int, index: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """A few ballots on one input, to be shown.

        Args:
            x: one input, as a batch of 1.
            number: of ballots, if the family has so many sets.
            index: of the input in its data set.

        Returns:
            `(number, features)` retained features, and `(number,)` classes.
        """
        sets = self.ablation.num_sets
        generator = stream(0, Stage.ILLUSTRATION, index)
        chosen = generator.choice(sets, min(number, sets), replace=False)
        answers: NDArray[np.int64] = self.ballots(x)[0].argmax(dim=1).numpy()
        return self.ablation.membership[chosen], answers[chosen]

    def shares(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """The softmax of the ballots, averaged over the sets; differentiable in x.

        Raises:
            InputError: as `ballots`.
        """
        return self._logits(x).softmax(dim=2).mean(dim=1)

    def _logits(self, x: Tensor) -> Tensor:
        self.check(x)
        x = self.on_device(x)
        shape = (len(x), self.ablation.num_sets, self.num_classes)
        if not len(x):
            return torch.empty(shape)

        def few(number: int) -> tuple[Tensor, Tensor]:
            source, mask = next(self._portions(x))
            return source[:number], mask[:number]

        with self.evaluating():
            self.try_out(few, x)
            logits = torch.cat([self.cast(*portion) for portion in self._portions(x)])
        return logits.float().view(shape)

    def _portions(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and masks of each pass: whole ones for an ensemble, else one for each set."""
        sets, limit = self.ablation.num_sets, self.pass_size(x)
        if isinstance(self.base, BallotNetwork):
            whole = torch.ones(limit, self.ablation.num_entries, dtype=torch.bool)
            for start in range(0, len(x), limit):
                part = x[start : start + limit]
                yield part, whole[: len(part)]
            return
        membership = torch.from_numpy(self.ablation.membership.copy())
        for start in range(0, len(x) * sets, limit):
            ballots = torch.arange(start, min(start + limit, len(x) * sets))
            yield x[ballots // sets], membership[ballots % sets]
