"""The rules that certify random ablation, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sparsecert.errors import InputError, as_integer, check_alpha
from sparsecert.theory.confidence import clopper_pearson_lower
from sparsecert.theory.pairwise import pairwise_radius
from sparsecert.theory.radius import (
    CertifiedRadius,
    fewest_samples,
    majority_radius,
    margin_lead,
    margin_radius,
)
from sparsecert.theory.shift import majority_thresholds, margin_thresholds
from sparsecert.votes.tally import Tally

Rule = Callable[[Tally, NDArray[np.int64], int, int, float], CertifiedRadius]


def _from_first_choices(
    radius: Callable[[NDArray[np.int64], NDArray[np.int64], int, int, float], CertifiedRadius],
) -> Rule:
    return lambda tally, label, d, k, alpha: radius(tally.first_choice, label, d, k, alpha)


def _pairwise(
    tally: Tally, label: NDArray[np.int64], d: int, k: int, alpha: float
) -> CertifiedRadius:
    return pairwise_radius(tally.fewest_wins, tally.num_samples, label, d, k, alpha)


RULES: dict[str, Rule] = {
    "majority": _from_first_choices(majority_radius),
    "margin": _from_first_choices(margin_radius),
    "pairwise": _pairwise,
}


def check_rule(alpha: float, rule: str) -> None:
    """Raise `InputError` for alpha outside (0, 1) or an unknown rule."""
    check_alpha(alpha)
    if rule not in RULES:
        raise InputError(f"expected rule to be one of {', '.join(RULES)}, got {rule!r}")


def smallest_num_samples(
    d: int, k: int, radius: int, alpha: float, rule: str = "majority"
) -> int | None:
    """The fewest ablations with which a unanimous vote certifies `radius` features.

    Args:
        d: number of features.
        k: number of retained features.
        radius: in features, at least 0.
        alpha: error probability.
        rule: "majority", "pairwise", or "margin" with three classes or more.

    Returns:
        The number, or None where none is enough, because Delta(d, k, radius) >= 1/2.
    """
    check_rule(alpha, rule)
    if as_integer(radius, "radius") < 0:
        raise InputError(f"expected a radius of at least 0, got {radius}")
    thresholds = margin_thresholds(d, k) if rule == "margin" else majority_thresholds(d, k)
    if radius >= len(thresholds):
        return None

    def enough(n: int) -> bool:
        if rule != "margin":
            return bool(clopper_pearson_lower(n, n, alpha) > thresholds[radius])
        lower_bound = clopper_pearson_lower(n, n, alpha / 2)
        lead = margin_lead(lower_bound, np.asarray(0), np.asarray(n), alpha)
        return bool(lead > thresholds[radius])

    return fewest_samples(enough)
