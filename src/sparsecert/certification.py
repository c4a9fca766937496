"""From tallies to predictions and certificates. Needs no network and no torch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.designs import Design
from sparsecert.errors import InputError, TooFewSamplesWarning, check_alpha
from sparsecert.tally import Tally
from sparsecert.theory import check_rule, top_two_p_value

ABSTAIN = -1


@dataclass(frozen=True)
class Prediction:
    """Predictions of a batch.

    Attributes:
        label: `(batch,)` classes, or `ABSTAIN`.
        counts: `(batch, classes)` votes.
    """

    label: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Certification:
    """Certificates of a batch.

    Attributes:
        label: `(batch,)` classes selected from ablations of their own.
        radius: `(batch,)` features that may change without changing the smoothed classifier's
            class; -1 where even the unchanged input is not certified, and `label` is a guess.
        lower_bound: `(batch,)` lower confidence bounds on the label's share of the votes.
        tally: the votes the bounds were computed from.
    """

    label: NDArray[np.int64]
    radius: NDArray[np.int64]
    lower_bound: NDArray[np.float64]
    tally: Tally


def predict_tally(tally: Tally, alpha: float = 0.05) -> Prediction:
    """PREDICT of Cohen, Rosenfeld and Kolter (2019), from counts.

    Answers with the class that has most votes unless the two-sided binomial test cannot tell it
    from the runner-up at level alpha; then abstains. With probability at least 1 - alpha the
    answer is the smoothed classifier's class g(x), or an abstention.

    Args:
        tally: votes.
        alpha: probability of a wrong answer.
    """
    check_alpha(alpha)
    counts = tally.first_choice
    second, first = np.sort(counts, axis=1)[:, -2:].T
    undecided = top_two_p_value(first, second) > alpha
    return Prediction(np.where(undecided, ABSTAIN, tally.top), counts)


def certify_tally(
    tally: Tally,
    label: ArrayLike,
    ablation: Design,
    alpha: float = 0.05,
    rule: str = "majority",
) -> Certification:
    """Certify labels from stored votes.

    Each certificate is wrong with probability at most alpha, provided that `label` was chosen
    without looking at `tally`.

    Args:
        tally: votes on samples drawn from `ablation`.
        label: `(batch,)` classes to certify.
        ablation: the design the samples were drawn from.
        alpha: error probability of each certificate.
        rule: "majority" (Corollary 1) or "margin" (Corollary 2).

    Raises:
        InputError: for an unknown rule, alpha outside (0, 1), or labels that do not match.

    Warns:
        TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
    """
    check_rule(alpha, rule)
    labels = np.asarray(label)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"expected labels to be integers, got dtype {labels.dtype}")
    if len(tally):
        warn_if_too_few(int(tally.num_samples.min()), ablation, alpha, rule)
    certified = ablation.certify(tally.first_choice, labels.astype(np.int64), alpha, rule)
    return Certification(labels.astype(np.int64), certified.radius, certified.lower_bound, tally)


def warn_if_too_few(num_samples: int, ablation: Design, alpha: float, rule: str) -> None:
    """Warn if not even a unanimous vote of `num_samples` could certify radius 0."""
    needed = ablation.smallest_num_samples(0, alpha, rule)
    if needed is not None and num_samples < needed:
        warnings.warn(
            f"{num_samples} samples cannot certify anything at alpha = {alpha}, however the votes "
            f"fall; radius 0 takes {needed} or more",
            TooFewSamplesWarning,
            stacklevel=3,
        )
