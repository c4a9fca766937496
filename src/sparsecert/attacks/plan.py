"""Which attack, with which options: what a stored result depends on beside the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim
from sparsecert.attacks.exchange import exchange_attack
from sparsecert.attacks.greedy import greedy_attack
from sparsecert.attacks.patch import patch_attack
from sparsecert.attacks.pointwise import pointwise_attack
from sparsecert.attacks.reading import READINGS
from sparsecert.attacks.sigma_zero import sigma_zero_attack
from sparsecert.attacks.sparse_rs import sparse_rs_attack
from sparsecert.certification import check_abstain
from sparsecert.designs.design import Design, SampledDesign, check_rule_of
from sparsecert.designs.threats import SPARSE, threat_of
from sparsecert.errors import InputError, as_integer, check_num_samples
from sparsecert.procedures.run import procedure_for
from sparsecert.rules import FAMILY_RULES, RULES

_WHY_NOT = {
    "repetitions": "which has one start",
    "num_search": "which compares images by gradients, not by ballots",
    "num_gradient": "which follows no gradient",
}
# Of the attacks whose search has changed since results were first stored.
_VERSIONS = {"exchange": 2}
_DEFAULT_STEPS = {"sparse-rs": 300, "sigma-zero": 200, "exchange": 8, "patch": 40}


@dataclass(frozen=True)
class AttackPlan:
    """An attack and its options.

    Attributes:
        attack: a key of `ATTACKS`.
        budget: the largest number of changed features; any by default.
        repetitions: pointwise: starts per image.
        steps: sparse-rs: steps without success that end the search; sigma-zero:
            gradient steps; exchange: failures in a row that end the search; patch: of each way to
            paint. By default 300, 200, 8 and 40.
        probe: the attacked procedure, of sampled designs.
        seed: of the random streams.
        rule: the attacked one; None is majority, whose PREDICT is margin's too.
        threat: what may be changed: sizes for the attack patch, "sparse" for the others.
        abstain: how far apart probabilities are for a ballot of the attacked fixed family to prefer
            a class; 0 for ballots that never abstain.
        version: of the search; the present one, if it is not of what was stored before.

    Raises:
        InputError: for an unknown attack, or options out of range.
    """

    attack: str
    budget: int | None = None
    repetitions: int = 10
    steps: int | None = None
    probe: Probe = field(default_factory=Probe)
    seed: int = 0
    rule: str | None = None
    threat: str = SPARSE
    abstain: float = 0.0
    version: int | None = None

    def __post_init__(self) -> None:
        if self.attack not in ATTACKS:
            raise InputError(
                f"expected attack to be one of {', '.join(ATTACKS)}, got {self.attack!r}"
            )
        if self.version is None:
            object.__setattr__(self, "version", _VERSIONS.get(self.attack, 1))
        elif as_integer(self.version, "version") < 1:
            raise InputError(f"expected a version of at least 1, got {self.version}")
        if self.budget is not None and as_integer(self.budget, "budget") < 1:
            raise InputError(f"expected a budget of at least 1 feature, got {self.budget}")
        if as_integer(self.seed, "the seed") < 0:
            raise InputError(f"expected a seed of at least 0, got {self.seed}")
        if self.probe.rule != DEFAULT_PROBE.rule:
            raise InputError(
                f"expected the rule to attack as the plan's, not the probe's, got {self.probe.rule}"
            )
        rules = {*RULES, *FAMILY_RULES}
        if self.rule is not None and self.rule not in rules:
            raise InputError(f"expected a rule out of {', '.join(sorted(rules))}, got {self.rule}")
        check_abstain(self.abstain)
        if (self.attack == "patch") != bool(threat_of(self.threat).sizes):
            raise InputError(
                "expected a threat of patches or windows for the attack patch, as in patch:5x5, "
                f"and for no other, got {self.threat} for {self.attack}"
            )
        check_num_samples(self.repetitions, "repetitions")
        if self.steps is None:
            object.__setattr__(self, "steps", _DEFAULT_STEPS.get(self.attack))
        elif self.attack not in _DEFAULT_STEPS:
            raise InputError(f"expected no number of steps for {self.attack}, which ends by itself")
        else:
            check_num_samples(self.steps, "steps")

    def to_json(self) -> dict[str, Any]:
        """As JSON values; the rule stands there once, and majority and margin have one name.

        Stored attacks are found by these values. They all say that pointwise starts from noise, as
        the first ones did, when there was another start.
        """
        values = asdict(self)
        del values["probe"]["rule"]
        for name, usual in (("threat", SPARSE), ("abstain", 0.0), ("version", 1)):
            if values[name] == usual:  # which the first attacks did not name
                del values[name]
        rule = None if _predicts_as(self.rule) == "majority" else self.rule
        return values | {"start": "noise", "rule": rule}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AttackPlan:
        """The inverse of `to_json`."""
        options = {"version": 1, **values, "probe": Probe(**values["probe"])}
        del options["start"]
        return cls(**options)

    @property
    def procedure(self) -> Probe:
        """The probe, by the attacked rule; what fixed families ask needs no ballots of a probe."""
        return self.probe if self.rule not in READINGS else replace(self.probe, rule=self.rule)

    def run(
        self,
        victim: Victim,
        images: Tensor,
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
    ) -> AttackResult:
        """Attack these images."""
        attack, options = ATTACKS[self.attack]
        return attack(
            victim,
            images,
            labels,
            self.budget,
            probe=self.procedure,
            seed=self.seed,
            indices=indices,
            **{name: getattr(self, name) for name in options if name not in _OF_PROBE},
        )


# Each attack, and which options of a plan or its probe it takes beside what all of them take.
ATTACKS: dict[str, tuple[Callable[..., AttackResult], tuple[str, ...]]] = {
    "pointwise": (pointwise_attack, ("repetitions", "num_search")),
    "sparse-rs": (sparse_rs_attack, ("steps", "num_search")),
    "sigma-zero": (sigma_zero_attack, ("steps", "num_gradient")),
    "greedy": (greedy_attack, ("num_search", "num_gradient")),
    "exchange": (exchange_attack, ("steps", "num_search", "num_gradient")),
    "patch": (patch_attack, ("threat", "steps", "num_search", "num_gradient")),
}
_OF_PROBE = {field.name for field in fields(Probe)} - {"rule"}


def plan_for(design: Design, attack: str, **given: Any) -> AttackPlan:
    """The plan of an attack on a run with this design, None standing for a default.

    Args:
        design: of the run.
        attack: a key of `ATTACKS`.
        given: options of the plan and of its probe.

    Raises:
        InputError: for an option that is out of range, or that this attack or design ignores.
    """
    options = {name: value for name, value in given.items() if value is not None}
    probed = {name: options.pop(name) for name in _OF_PROBE & set(options)}
    ignored = {} if isinstance(design, SampledDesign) else probed
    of_family = {name: options[name] for name in ("threat", "abstain") if name in options}
    # Says what the design has not.
    procedure_for(design, rule=given.get("rule"), **ignored, **of_family)
    for name, why in _WHY_NOT.items():
        value, usual = given.get(name), getattr(DEFAULT_PROBE, name, None)
        # Commands of records may name a default.
        if attack in ATTACKS and value not in (None, usual) and name not in ATTACKS[attack][1]:
            raise InputError(f"expected no {name} for {attack}, {why}")
    return AttackPlan(attack, probe=Probe(**probed), **options)


def attacked_rule(design: Design, rule: str | None) -> str | None:
    """The rule to attack, by default the design's first; None for majority and margin.

    Raises:
        InputError: for a rule that the design does not have.
    """
    rule = design.rules[0] if rule is None else rule
    check_rule_of(design, rule)
    return None if _predicts_as(rule) == "majority" else rule


def attacked_alike(design: Design, rule: str | None) -> list[str]:
    """The design's rules whose PREDICT is that of the attacked one."""
    attacked = attacked_rule(design, rule)
    return [other for other in design.rules if attacked_rule(design, other) == attacked]


def _predicts_as(rule: str | None) -> str | None:
    return RULES[rule].predicts_as if rule in RULES else rule
