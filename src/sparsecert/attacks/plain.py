"""Classifiers that are not smoothed, as attacks see them: one query, one pass, no abstention."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsecert.attacks.query import Cost, InputUnits, Version
from sparsecert.errors import InputError

_PASS = 256


class PlainClassifier:
    """A deterministic classifier of inputs as they are.

    Args:
        model: from `(batch, ...)` inputs in [0, 1] to `(batch, num_classes)` logits or scores.
        num_classes: outputs of `model`.
        decide: `(batch,)` classes of `(batch, ...)` inputs, where they are not those of highest
            score: an attack then follows the scores, and is measured by the classes.
        owner: what attacks change and count, as of `InputUnits`.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        decide: Callable[[Tensor], NDArray[np.int64]] | None = None,
        owner: NDArray[np.int64] | None = None,
    ) -> None:
        self.model, self.num_classes, self._decide = model.eval(), num_classes, decide
        self.owner = owner

    def logits(self, x: Tensor) -> Tensor:
        """`(batch, num_classes)` scores, differentiable in x where the model is.

        Raises:
            InputError: if the model gives another shape.
        """
        weights = itertools.chain(self.model.parameters(), self.model.buffers())
        logits: Tensor = self.model(x.to(next(weights, x).device))
        if logits.shape != (len(x), self.num_classes):
            raise InputError(
                f"expected the classifier to give scores of shape {(len(x), self.num_classes)}, "
                f"got {tuple(logits.shape)}"
            )
        return logits

    def predict(self, x: Tensor) -> NDArray[np.int64]:
        """`(batch,)` classes."""
        if self._decide is not None:
            return self._decide(x)
        with torch.inference_mode():
            parts = [self.logits(part).argmax(dim=1) for part in torch.split(x, _PASS)]
        classes: NDArray[np.int64] = torch.cat(parts).cpu().numpy()
        return classes


class PlainQueries:
    """Questions about one image to a classifier that is not smoothed.

    Args:
        classifier: the attacked one.
        image: one input, as a batch of 1.
        label: its correct class.
    """

    def __init__(self, classifier: PlainClassifier, image: Tensor, label: int) -> None:
        self.classifier, self.original, self.label = classifier, image[0], label
        self.units = InputUnits(self.original, classifier.owner)
        self.cost, self.abstains = Cost(), False

    def version(self, image: Tensor) -> Version:
        """A version of which nothing is known."""
        return Version(image)

    def change(self, version: Version, image: Tensor, units: NDArray[np.int64]) -> Version:
        """A version: every change may change the answer."""
        return Version(image)

    def fooled(self, versions: Sequence[Version], *, strict: bool = False) -> NDArray[np.bool_]:
        """Whether each is misclassified."""
        self.cost.queries += len(versions)
        classes = self.classifier.predict(torch.stack([version.image for version in versions]))
        return np.asarray(classes != self.label)

    def clearly_fooled(self, versions: Sequence[Version]) -> NDArray[np.bool_]:
        """Whether each is misclassified, which one pass shows."""
        return self.fooled(versions)

    def lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """Score of the correct class minus the best rival's."""
        self.cost.queries += len(versions)
        with torch.inference_mode():
            images = torch.stack([version.image for version in versions])
            return self._lead(images).double().cpu().numpy()

    def fine_lead(self, versions: Sequence[Version]) -> NDArray[np.float64]:
        """The lead, which is no coarser."""
        return self.lead(versions)

    def soft_lead(self, image: Tensor) -> tuple[Tensor, float]:
        """The lead in scores, twice."""
        self.cost.queries += 1
        lead = self._lead(image[None])[0]
        return lead, float(lead.detach())

    def confirm(self, image: Tensor) -> int:
        """The class."""
        self.cost.queries += 1
        self.cost.confirmations += 1
        return int(self.classifier.predict(image[None])[0])

    def _lead(self, images: Tensor) -> Tensor:
        logits = self.classifier.logits(images)
        others = torch.arange(self.classifier.num_classes, device=logits.device) != self.label
        return logits[:, self.label] - logits[:, others].max(dim=1).values
