"""What attacks on a data set show. From stored sizes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sparsecert.errors import InputError
from sparsecert.evaluation import CONFIDENCE, Estimate, share
from sparsecert.theory.prediction import ABSTAIN


@dataclass(frozen=True)
class AttackSummary:
    """Attacks on some images of a data set.

    Attributes:
        num_images: images attacked.
        accuracy: share classified correctly, without abstaining, before anything was changed.
        success: share of images that were fooled, the misclassified ones included.
        median: median attack magnitude; None where half of the images or more withstood.
        median_interval: its interval, by order statistics; None with fewer than 6 images.
    """

    num_images: int
    accuracy: Estimate
    success: Estimate
    median: float | None
    median_interval: tuple[int | None, int | None] | None


@dataclass(frozen=True)
class WithinCertificate:
    """Attacks that stayed within a certified radius.

    A certificate says that the smoothed classifier's class does not change. A class that is
    another contradicts it. An abstention does not: the class is the same, by a lead too small for
    PREDICT.

    Attributes:
        attempts: images attacked whose correct class is certified at some radius, 0 included.
        misclassified: rows of those that were given another class within their radius.
        abstained: rows of those that were abstained on within their radius.
    """

    attempts: int
    misclassified: NDArray[np.int64]
    abstained: NDArray[np.int64]


def summarise(size: NDArray[np.int64]) -> AttackSummary:
    """Accuracy, success and the median of attack magnitudes.

    Args:
        size: `(images,)` changed features; 0 where the unchanged image fools, -1 where the attack
            failed, which counts as infinite.
    """
    if len(size) == 0:
        raise InputError("expected at least one attacked image, got none")
    return AttackSummary(
        num_images=len(size),
        accuracy=share(size != 0),
        success=share(size >= 0),
        median=median_attack_magnitude(size),
        median_interval=_interval(size),
    )


def median_attack_magnitude(size: ArrayLike) -> float | None:
    """The median over images, failures counting as infinite; None where it is infinite.

    Of an even number of images it is the mean of the middle two, as in the paper's Table 2.
    """
    median = float(np.median(_infinite(np.asarray(size))))
    return median if np.isfinite(median) else None


def within_certificate(
    size: NDArray[np.int64], label: NDArray[np.int64], radius: NDArray[np.int64]
) -> WithinCertificate:
    """Which attacks succeeded within a certified radius.

    Args:
        size: `(images,)` changed features, as in `summarise`.
        label: `(images,)` the class of the adversarial image, or `ABSTAIN`.
        radius: `(images,)` radii certified for the correct class; -1 where there is none.
    """
    inside = (size >= 0) & (size <= radius)
    return WithinCertificate(
        int((radius >= 0).sum()),
        np.flatnonzero(inside & (label != ABSTAIN)),
        np.flatnonzero(inside & (label == ABSTAIN)),
    )


def strongest(sizes: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """`(images,)` the smallest change that any of several attacks found; -1 where none did."""
    smallest = np.min([_infinite(size) for size in sizes], axis=0)
    return np.where(np.isfinite(smallest), smallest, -1).astype(np.int64)


def _interval(size: NDArray[np.int64]) -> tuple[int | None, int | None] | None:
    """By the ranks that `evaluation.median_interval` explains."""
    ordered = np.sort(_infinite(size))
    rank = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    if rank == 0:
        return None
    low, high = (ordered[rank - 1], ordered[len(ordered) - rank])
    return tuple(int(end) if np.isfinite(end) else None for end in (low, high))  # type: ignore[return-value]


def _infinite(size: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(size < 0, np.inf, size)
