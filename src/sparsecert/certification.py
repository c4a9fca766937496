"""From tallies to predictions and certificates. Needs no network and no torch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.designs.design import Design, check_sampled
from sparsecert.errors import InputError, TooFewSamplesWarning
from sparsecert.theory import check_rule, pairwise_p_value, top_two_p_value
from sparsecert.votes.tally import Tally

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

    @property
    def num_samples(self) -> NDArray[np.int64]:
        """`(batch,)` ballots that were counted; for a fixed family the number of sets."""
        total: NDArray[np.int64] = self.counts.sum(axis=1)
        return total


@dataclass(frozen=True)
class Certification:
    """Certificates of a batch.

    Attributes:
        label: `(batch,)` classes selected from ablations of their own.
        radius: `(batch,)` features that may change without changing the smoothed classifier's
            class; -1 where even the unchanged input is not certified, and `label` is a guess.
        lower_bound: `(batch,)` lower bounds, at confidence 1 - alpha, on the label's share of the
            votes; under the pairwise rule, on its share against its strongest rival. (Margin
            leaves half of alpha to this bound. Sequentially, majority and pairwise give the
            largest threshold of a radius that the share was shown to exceed, or 0.)
        tally: the votes the bounds were computed from.
        alpha: error probability of each certificate; 0 where it holds with certainty.
    """

    label: NDArray[np.int64]
    radius: NDArray[np.int64]
    lower_bound: NDArray[np.float64]
    tally: Tally
    alpha: float

    @property
    def num_samples(self) -> NDArray[np.int64]:
        """`(batch,)` ballots that estimated the share; for a fixed family the number of sets."""
        return self.tally.num_samples


def predict_tally(tally: Tally, alpha: float = 0.05, rule: str = "majority") -> Prediction:
    """PREDICT, from counts: the class of the rule's smoothed classifier g, or an abstention.

    With probability at least 1 - alpha the answer is g(x), or an abstention.

    - "majority" and "margin", whose g answers with the class of most votes: the procedure of Cohen,
      Rosenfeld and Kolter (2019). It names the top class unless the two-sided binomial test cannot
      tell it from the runner-up at level alpha.
    - "pairwise", whose g answers with the pairwise winner: names the class that beats every other
      head to head, unless one of these tests fails at level alpha / (classes - 1)
      (`theory.pairwise_p_value` has the proof).

    Args:
        tally: votes.
        alpha: probability of a wrong answer.
        rule: a key of `theory.RULES`.

    Raises:
        InputError: for an unknown rule, alpha outside (0, 1), or votes without the head-to-head
            counts that the pairwise rule needs.
    """
    check_rule(alpha, rule)
    counts = tally.first_choice
    if rule == "pairwise":
        label = tally.pairwise_winner
        p_value = pairwise_p_value(tally.fewest_wins.max(axis=1), tally.num_samples)
        undecided = p_value > alpha / (counts.shape[1] - 1)
        return Prediction(np.where(undecided | (label < 0), ABSTAIN, label), counts)
    second, first = np.sort(counts, axis=1)[:, -2:].T
    undecided = top_two_p_value(first, second) > alpha
    return Prediction(np.where(undecided, ABSTAIN, tally.top), counts)


def select_label(selection: Tally, rule: str = "majority") -> NDArray[np.int64]:
    """`(batch,)` classes to certify: what the rule's smoothed classifier most likely answers.

    A wrong choice costs a certificate, and cannot make a wrong one.

    Args:
        selection: votes on other ablations than the certificate will be computed from.
        rule: a key of `theory.RULES`.
    """
    if rule != "pairwise":
        return selection.top
    winner = selection.pairwise_winner
    return np.where(winner < 0, selection.top, winner)


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
        rule: "majority" (Corollary 1), "margin" (Corollary 2) or "pairwise".

    Raises:
        InputError: for an unknown rule, alpha outside (0, 1), labels that do not match, or votes
            without the head-to-head counts that the pairwise rule needs.

    Warns:
        TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
    """
    check_rule(alpha, rule)
    check_sampled(ablation)
    labels = check_label_type(label)
    if len(tally):
        warn_if_too_few(int(tally.num_samples.min()), ablation, alpha, rule)
    certified = ablation.certify(tally, labels, alpha, rule)
    return Certification(labels, certified.radius, certified.lower_bound, tally, alpha)


def check_label_type(label: ArrayLike) -> NDArray[np.int64]:
    """The labels as an array; raises `InputError` for anything but integers."""
    labels = np.asarray(label)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"expected labels to be integers, got dtype {labels.dtype}")
    return labels.astype(np.int64)


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
