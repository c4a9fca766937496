"""Certificates and confidence bounds: NumPy and SciPy only, from counts to guarantees."""

from sparsecert.theory.confidence import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    proportion_interval,
    top_two_p_value,
)
from sparsecert.theory.pairwise import pairwise_p_value, pairwise_radius
from sparsecert.theory.radius import (
    CertifiedRadius,
    largest_certified,
    majority_radius,
    margin_radius,
)
from sparsecert.theory.rules import RULES, check_rule, smallest_num_samples
from sparsecert.theory.shift import ablation_shift, majority_thresholds, margin_thresholds

__all__ = [
    "RULES",
    "CertifiedRadius",
    "ablation_shift",
    "check_rule",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "largest_certified",
    "majority_radius",
    "majority_thresholds",
    "margin_radius",
    "margin_thresholds",
    "pairwise_p_value",
    "pairwise_radius",
    "proportion_interval",
    "smallest_num_samples",
    "top_two_p_value",
]
