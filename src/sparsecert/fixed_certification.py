"""Certificates for fixed families of retained sets, from the ballots of every set."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsecert.certification import Certification
from sparsecert.designs.family import FixedAblation
from sparsecert.errors import InputError
from sparsecert.theory.exact_coverage import fewest_features
from sparsecert.theory.fixed_rules import FIXED_RULES, Threats
from sparsecert.votes.tally import Tally

BOUNDS = ("sum", "exact")

_NUMBERS_PER_CHUNK = 2**22


def certify_ballots(
    scores: ArrayLike,
    ablation: FixedAblation,
    rule: str = "plurality",
    bound: str = "sum",
    *,
    time_limit: float = 10.0,
) -> Certification:
    """The smoothed classifier's classes and certificates, from the ballots of every retained set.

    The family is fixed, so nothing is sampled: the label *is* the smoothed classifier's class, and
    each certificate holds with probability one (`alpha` is 0). It holds for any base classifier
    whose ballot on set t depends on the input's features in t only, one network for all sets or one
    for each.

    Args:
        scores: `(batch, num_sets, classes)` logits, or any scores, of the base classifier on each
            retained set. Of equal scores the smaller class index ranks first.
        ablation: the family.
        rule: "plurality", "run-off" or "pairwise"; `theory.fixed_rules` has statements and proofs.
        bound: "sum", fast and in integers; or "exact", by integer programming: the largest radius
            that holds for arbitrary changes of the touched ballots, never below "sum".
        time_limit: seconds per input for "exact". What is not solved by then gets the solver's
            bound as far as it came, or the sum bound.

    Returns:
        Labels; radii in features, -1 where there is no pairwise winner; in `lower_bound` the
        label's share of the ballots: of the first choices, under run-off head to head against the
        other finalist, under pairwise against the strongest rival; first choices as `tally`.

    Raises:
        InputError: for NaN, a shape that does not match, or an unknown rule or bound.
    """
    votes = _checked(scores, ablation)
    check_fixed_rule(rule, bound)
    if not time_limit > 0:
        raise InputError(f"expected time_limit above 0 seconds, got {time_limit}")
    batch, _, classes = votes.shape
    label = np.empty(batch, dtype=np.int64)
    radius, share = label.copy(), np.empty(batch)
    size = max(1, _NUMBERS_PER_CHUNK // max(votes[0].size if batch else 1, classes**2))
    for start in range(0, batch, size):
        part = slice(start, start + size)
        threats = FIXED_RULES[rule](votes[part], ablation.columns, thorough=bound == "exact")
        label[part], share[part] = threats.label, threats.share
        radius[part] = threats.radius.min(axis=1)
        if bound == "exact":
            radius[part] = [
                _exact_radius(threats, b, ablation, time_limit) for b in range(len(threats.label))
            ]
    # Only families without a threat to some input have a radius beyond d.
    radius = np.minimum(radius, ablation.num_features)
    first = votes.argmax(axis=2)
    counts = np.stack([(first == c).sum(axis=1) for c in range(classes)], axis=1)
    return Certification(label, radius, share, Tally(counts), 0.0)


def check_family(ablation: object) -> None:
    """Raise `InputError`, with the way to go, for anything but a fixed family."""
    if not isinstance(ablation, FixedAblation):
        raise InputError(
            f"expected a FixedAblation, got {type(ablation).__name__}; for designs that draw "
            "samples there are certify_tally and SmoothedClassifier"
        )


def check_fixed_rule(rule: str, bound: str) -> None:
    """Raise `InputError` for an unknown rule or bound of fixed families."""
    if rule not in FIXED_RULES:
        raise InputError(f"expected rule to be one of {', '.join(FIXED_RULES)}, got {rule!r}")
    if bound not in BOUNDS:
        raise InputError(f"expected bound to be one of {', '.join(BOUNDS)}, got {bound!r}")


def _exact_radius(threats: Threats, b: int, ablation: FixedAblation, time_limit: float) -> int:
    """The least over the threats to input b, most pressing first.

    A threat that the sum bound rules out as far as another is known to be possible needs no
    program.
    """
    deadline = time.monotonic() + time_limit
    by_sum = threats.radius[b]
    if by_sum.min() < 0:
        return -1  # not even the unchanged input is certified
    least = np.iinfo(np.int64).max
    for k in np.argsort(by_sum, kind="stable"):
        if by_sum[k] >= least:
            break
        remaining = deadline - time.monotonic()
        fewest = 0
        if remaining > 0:
            answer = fewest_features(threats.attack(b, int(k)), ablation.columns, remaining)
            if answer is None:
                continue
            fewest = answer
        least = min(least, max(int(by_sum[k]), fewest - 1))
    return least


def _checked(scores: ArrayLike, ablation: FixedAblation) -> NDArray[np.floating]:
    check_family(ablation)
    votes = np.asarray(scores)
    if not np.issubdtype(votes.dtype, np.floating):
        votes = votes.astype(np.float64)
    if votes.ndim != 3 or votes.shape[1] != ablation.num_sets or votes.shape[2] < 2:
        raise InputError(
            f"expected scores of shape (batch, {ablation.num_sets}, classes), one ballot for each "
            f"set of the family, and 2 classes or more, got {votes.shape}"
        )
    if np.isnan(votes).any():
        raise InputError("expected scores without NaN; were the networks trained to convergence?")
    return votes
