"""From counts at several looks to predictions and certificates. Needs no network and no torch.

The counts are replayed: look by look, as they were or would have been read while counting, up to
the look at which the procedure stops. So what comes out depends on the ballots, alpha and the rule,
and not on how far the counting went on, for another rule or a smaller alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.certification import (
    Certification,
    Prediction,
    check_label_type,
    warn_if_too_few,
)
from sparsecert.designs.design import Design
from sparsecert.theory import check_rule, clopper_pearson_lower
from sparsecert.theory.radius import check_labels
from sparsecert.theory.sequential_prediction import NamedByLook, name_pairwise_winner, name_top
from sparsecert.theory.sequential_rules import (
    CertifiedByLook,
    margin_certificate,
    share_certificate,
)
from sparsecert.votes.look_tally import LookTally


@dataclass(frozen=True)
class Stop:
    """Where counting stops.

    Attributes:
        look: `(batch,)` the look, from 0: the first at which all is settled, or the last there is.
        finished: `(batch,)` whether all is settled there, or the budget is spent; if not, more
            ballots may tell more.
    """

    look: NDArray[np.int64]
    finished: NDArray[np.bool_]


def certify_looks(
    tally: LookTally,
    label: ArrayLike,
    ablation: Design,
    alpha: float = 0.05,
    rule: str = "majority",
) -> Certification:
    """Certify labels from counts at several looks.

    Each certificate is wrong with probability at most alpha, wherever counting stopped, provided
    that `label` was chosen without looking at these ballots (`theory.sequential_rules` has the
    proofs).

    Args:
        tally: votes on samples drawn from `ablation`, at each look.
        label: `(batch,)` classes to certify.
        ablation: the design the samples were drawn from.
        alpha: error probability of each certificate.
        rule: "majority", "margin" or "pairwise".

    Returns:
        Certificates; their tally holds the votes up to the stop.

    Raises:
        InputError: for an unknown rule, alpha outside (0, 1), labels that do not match, or votes
            without the head-to-head counts that the pairwise rule needs.

    Warns:
        TooFewSamplesWarning: if not even a unanimous vote could certify radius 0.
    """
    labels = check_label_type(label)
    certified = certified_by_look(tally, labels, ablation, alpha, rule)
    warn_if_too_few(tally.budget, ablation, alpha, rule)
    return certification_at(stop(tally, certified), tally, labels, certified, alpha)


def predict_looks(tally: LookTally, alpha: float = 0.05, rule: str = "majority") -> Prediction:
    """PREDICT, from counts at several looks: the class of the rule's g, or an abstention.

    With probability at least 1 - alpha the answer is g(x), or an abstention, wherever counting
    stopped (`theory.sequential_prediction` has the proofs).

    Args:
        tally: votes at each look.
        alpha: probability of a wrong answer.
        rule: a key of `theory.RULES`.

    Returns:
        Predictions, and the votes up to the stop.
    """
    named = named_by_look(tally, alpha, rule)
    return prediction_at(stop(tally, named), tally, named)


def certified_by_look(
    tally: LookTally, label: NDArray[np.int64], ablation: Design, alpha: float, rule: str
) -> CertifiedByLook:
    """What is certified by each look; arguments are those of `certify_looks`."""
    check_rule(alpha, rule)
    counts, looks = tally.first_choice, tally.looks
    check_labels(counts[:, -1], label)
    num_classes = counts.shape[2]
    # Of two classes, the lead over the only rival is decided by the class's share.
    if rule != "margin" or num_classes == 2:
        wins = tally.wins_of(label) if rule == "pairwise" else tally.take_label(counts, label)
        highest = float(clopper_pearson_lower(tally.budget, tally.budget, alpha))
        thresholds = ablation.thresholds("majority" if rule == "margin" else rule, highest)
        return share_certificate(wins, tally.reached, looks, thresholds, alpha)
    rivals = counts.copy()
    np.put_along_axis(rivals, label[:, None, None], 0, axis=2)
    return margin_certificate(
        tally.take_label(counts, label)[:, :, 0],
        rivals.max(axis=2),
        tally.reached,
        looks,
        ablation.thresholds(rule, 1.0),
        alpha,
    )


def named_by_look(tally: LookTally, alpha: float, rule: str) -> NamedByLook:
    """What is named by each look; arguments are those of `predict_looks`."""
    check_rule(alpha, rule)
    if rule == "pairwise":
        return name_pairwise_winner(tally.fewest_wins, tally.reached, tally.looks, alpha)
    return name_top(tally.first_choice, tally.reached, tally.looks, alpha)


def stop(tally: LookTally, *courses: CertifiedByLook | NamedByLook) -> Stop:
    """Where counting stops: once each of these has been settled, at this look or before."""
    settled = np.ones(tally.reached.shape, dtype=np.bool_)
    for course in courses:
        settled &= np.logical_or.accumulate(course.settled, axis=1)
    last = np.maximum(tally.num_reached - 1, 0)
    finished = settled.any(axis=1) | (tally.num_reached == len(tally.looks))
    return Stop(np.where(settled.any(axis=1), settled.argmax(axis=1), last), finished)


def certification_at(
    end: Stop,
    tally: LookTally,
    label: NDArray[np.int64],
    certified: CertifiedByLook,
    alpha: float,
) -> Certification:
    """The certificates at a stop."""
    rows = np.arange(len(tally))
    return Certification(
        label,
        certified.radius[rows, end.look],
        certified.lower_bound[rows, end.look],
        tally.at(end.look),
        alpha,
    )


def prediction_at(end: Stop, tally: LookTally, named: NamedByLook) -> Prediction:
    """The predictions at a stop."""
    votes = tally.at(end.look).first_choice
    return Prediction(named.label[np.arange(len(tally)), end.look], votes)
