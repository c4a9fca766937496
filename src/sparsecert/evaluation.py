"""The paper's quantities over a data set, each with a 95 % confidence interval.

The certified robustness of an image is the largest rho certified for the *correct* label; where
the label is wrong it is N/A and counts as minus infinity. A correct label that no rho >= 0
certifies (radius -1) is a third thing. This module counts it as not certified; the authors' code
counts it as radius 0, which `authors_convention` reproduces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sparsecert.certification import Certification, Prediction
from sparsecert.errors import InputError
from sparsecert.rules import RULES
from sparsecert.theory.confidence import proportion_interval
from sparsecert.theory.prediction import ABSTAIN

CONFIDENCE = 0.95
_NOT_CERTIFIED = -1


@dataclass(frozen=True)
class Estimate:
    """A share of the data set and its two-sided Clopper-Pearson interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """What a table of the paper reports about one run.

    Attributes:
        num_images: images evaluated.
        accuracy: share predicted correctly without abstaining.
        abstained: share on which the prediction abstained.
        ablated_accuracy: share of the ablations that the base classifier gets right, over all
            images.
        median: median certified robustness; None is N/A.
        median_interval: its interval, by order statistics; None with fewer than 6 images.
        median_authors_convention: the same with correct but uncertified images at radius 0.
        certified_accuracy: by rho, from 0 to the largest radius seen, or the last size of a threat
            that lists sizes.
    """

    num_images: int
    accuracy: Estimate
    abstained: Estimate
    ablated_accuracy: float
    median: int | None
    median_interval: tuple[int | None, int | None] | None
    median_authors_convention: int | None
    certified_accuracy: tuple[Estimate, ...]


def evaluate(
    prediction: Prediction, certification: Certification, targets: NDArray[np.int64]
) -> Evaluation:
    """Every quantity of `Evaluation` for predictions and certificates of the same images.

    Args:
        prediction: `(images,)` labels, possibly `ABSTAIN`.
        certification: `(images,)` labels and radii.
        targets: `(images,)` correct labels.

    Raises:
        InputError: for no images, arrays that do not match, or a prediction by another rule than
            the certificates': their smoothed classifiers are different ones.
    """
    targets = np.asarray(targets)
    if len(targets) == 0:
        raise InputError("expected at least one image to evaluate, got none")
    lengths = {len(prediction.label), len(certification.label), len(targets)}
    if len(lengths) > 1 or not np.issubdtype(targets.dtype, np.integer):
        raise InputError(
            f"expected an integer as the target of each of {len(certification.label)} certified "
            f"images and as many predictions, got targets of {targets.dtype} and shape "
            f"{targets.shape} and {len(prediction.label)} predictions"
        )
    predicted, certified = (_answers_as(answer.rule) for answer in (prediction, certification))
    if None not in (predicted, certified) and predicted != certified:
        raise InputError(
            f"expected a prediction by the rule of the certificates, {certification.rule}, got "
            f"one by {prediction.rule}, whose smoothed classifier is another"
        )
    correct = certification.label == targets
    radius = certification.radius
    accuracy, abstained = accuracy_and_abstentions(prediction, targets)
    right = certification.tally.votes[np.arange(len(targets)), targets]
    return Evaluation(
        num_images=len(targets),
        accuracy=accuracy,
        abstained=abstained,
        ablated_accuracy=float((right / certification.tally.num_samples).mean()),
        median=median_certified_robustness(radius, correct),
        median_interval=median_interval(radius, correct),
        median_authors_convention=median_certified_robustness(authors_convention(radius), correct),
        certified_accuracy=certified_accuracy_by_rho(
            radius, correct, len(certification.threat.sizes)
        ),
    )


def _answers_as(rule: str | None) -> str | None:
    """The rule whose smoothed classifier it shares; None where the rule is not known."""
    return RULES[rule].predicts_as if rule in RULES else rule


def accuracy_and_abstentions(
    prediction: Prediction, targets: NDArray[np.int64]
) -> tuple[Estimate, Estimate]:
    """Share predicted correctly without abstaining, and share of abstentions."""
    return share(prediction.label == targets), share(prediction.label == ABSTAIN)


def certified_robustness(radius: ArrayLike, correct: ArrayLike) -> NDArray[np.int64]:
    """`(images,)` radii for the correct label; -1 for N/A and for not certified.

    Args:
        radius: `(images,)` certified radii, -1 where nothing is certified.
        correct: `(images,)` booleans: whether the certified label is the right one.
    """
    radii, right = np.asarray(radius), np.asarray(correct)
    if radii.shape != right.shape or radii.ndim != 1 or len(radii) == 0:
        raise InputError(
            f"expected radius and correct as vectors of one length, at least 1, "
            f"got shapes {radii.shape} and {right.shape}"
        )
    if not np.issubdtype(radii.dtype, np.integer) or not np.isin(right, (0, 1)).all():
        raise InputError(
            f"expected radius as integers and correct as booleans, got {radii.dtype} and "
            f"{right.dtype}"
        )
    return np.where(right.astype(bool), radii, _NOT_CERTIFIED).astype(np.int64)


def authors_convention(radius: NDArray[np.int64]) -> NDArray[np.int64]:
    """Radii as the authors' code files them: not certified counts as radius 0."""
    return np.maximum(radius, 0)


@overload
def certified_accuracy(radius: ArrayLike, correct: ArrayLike, rho: int) -> float: ...
@overload
def certified_accuracy(
    radius: ArrayLike, correct: ArrayLike, rho: ArrayLike
) -> float | NDArray[np.float64]: ...
def certified_accuracy(
    radius: ArrayLike, correct: ArrayLike, rho: ArrayLike
) -> float | NDArray[np.float64]:
    """Share of images whose certified robustness is at least rho, for one rho or an array."""
    robustness = certified_robustness(radius, correct)
    wanted = np.asarray(rho)
    if wanted.size and not np.issubdtype(wanted.dtype, np.integer):
        raise InputError(f"expected rho to be an integer or integers, got {wanted.dtype}")
    if wanted.size and wanted.min() < 0:
        raise InputError(f"expected rho of at least 0, got {wanted.min()}")
    share = (robustness >= wanted[..., None]).mean(axis=-1)
    return float(share) if wanted.ndim == 0 else np.asarray(share)


def certified_accuracy_by_rho(
    radius: ArrayLike, correct: ArrayLike, at_least: int = 0
) -> tuple[Estimate, ...]:
    """Certified accuracy with its interval at every rho from 0 to the largest radius seen.

    Args:
        radius: `(images,)` certified radii, -1 where nothing is certified.
        correct: `(images,)` whether the certified label is the right one.
        at_least: a rho up to which it goes anyway.
    """
    robustness = certified_robustness(radius, correct)
    last = max(at_least, int(np.max(radius)))
    return tuple(share(robustness >= rho) for rho in range(last + 1))


def median_certified_robustness(radius: ArrayLike, correct: ArrayLike) -> int | None:
    """The largest rho whose certified accuracy is at least one half; None is N/A.

    {N/A, N/A, 1, 2, 3} has the median 1.
    """
    ordered = np.sort(certified_robustness(radius, correct))
    return _as_median(ordered[len(ordered) // 2])


def median_interval(radius: ArrayLike, correct: ArrayLike) -> tuple[int | None, int | None] | None:
    """A 95 % interval for the median of the population the images were drawn from.

    Let m be the population's median. At least half of it has robustness m or more, and at least
    half has m or less. So the l-th smallest of n values exceeds m, or the l-th largest falls
    below it, each with probability at most Pr[Binomial(n, 1/2) < l]; l is the largest rank that
    keeps this at 2.5 %. With fewer than 6 images there is none, and no interval (None).
    """
    ordered = np.sort(certified_robustness(radius, correct))
    rank = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    if rank == 0:
        return None
    return _as_median(ordered[rank - 1]), _as_median(ordered[len(ordered) - rank])


def _as_median(robustness: np.int64) -> int | None:
    return None if robustness < 0 else int(robustness)


def share(hits: NDArray[np.bool_]) -> Estimate:
    """The share of hits, and its interval."""
    count, total = int(hits.sum()), len(hits)
    low, high = proportion_interval(count, total, CONFIDENCE)
    return Estimate(count / total, float(low), float(high))
