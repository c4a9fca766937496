"""Attacks: how far the guarantee is from the truth.

    from sparsecert.attacks import Probe, sparse_rs_attack

    result = sparse_rs_attack(smoothed, images, labels)   # .adversarial, .size in pixels, .success

An attack looks for the fewest changed features that make PREDICT misclassify or abstain. Each is
one function with the same face; `AttackPlan` names one with its options, for stored results.
"""

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe
from sparsecert.attacks.exchange import exchange_attack
from sparsecert.attacks.greedy import greedy_attack
from sparsecert.attacks.plain import PlainClassifier
from sparsecert.attacks.plan import ATTACKS, AttackPlan
from sparsecert.attacks.pointwise import pointwise_attack
from sparsecert.attacks.sigma_zero import sigma_zero_attack
from sparsecert.attacks.sparse_rs import sparse_rs_attack

__all__ = [
    "ATTACKS",
    "DEFAULT_PROBE",
    "AttackPlan",
    "AttackResult",
    "PlainClassifier",
    "Probe",
    "exchange_attack",
    "greedy_attack",
    "pointwise_attack",
    "sigma_zero_attack",
    "sparse_rs_attack",
]
