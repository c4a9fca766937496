"""What stored attacks and records are found by, and which options go with a design."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparsecert import UniformAblation
from sparsecert.attacks import AttackPlan, Probe
from sparsecert.attacks.plan import plan_for
from sparsecert.designs.design import Design
from sparsecert.designs.family import Partitions
from sparsecert.errors import InputError

RESULTS = Path(__file__).parents[2] / "results"
UNIFORM, PARTITION = UniformAblation(64, 12), Partitions(64, 4)


def test_plans_of_records_are_read_and_named_as_when_they_were_stored() -> None:
    records = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
    plans = [record["plan"] for record in records if record.get("kind") == "attack"]
    assert "noise" in {plan["start"] for plan in plans}
    for plan in plans:
        assert AttackPlan.from_json(plan).to_json() == plan


def test_what_an_older_search_found_is_not_taken_for_the_present_ones() -> None:
    for attack, versions in (("exchange", (1, 2)), ("greedy", (1,))):
        newest = AttackPlan(attack)
        assert newest.version == versions[-1]
        stored = newest.to_json()
        assert AttackPlan.from_json(stored) == newest
        oldest = AttackPlan.from_json({k: v for k, v in stored.items() if k != "version"})
        assert oldest.version == 1
        assert (oldest.to_json() == stored) == (len(versions) == 1)
    with pytest.raises(InputError, match="version of at least 1, got 0"):
        AttackPlan("greedy", version=0)


def test_commands_of_records_may_name_defaults_that_an_attack_does_not_use() -> None:
    assert plan_for(UNIFORM, "pointwise", num_gradient=256) == AttackPlan("pointwise")


def test_options_are_those_of_the_plan_or_of_its_probe() -> None:
    assert plan_for(UNIFORM, "greedy", alpha=None, seed=0) == AttackPlan("greedy")
    given = {"budget": 9, "steps": 5, "rule": "pairwise", "num_samples": 70, "num_gradient": 30}
    probe = Probe(num_samples=70, num_gradient=30)
    plan = AttackPlan("sigma-zero", budget=9, steps=5, rule="pairwise", probe=probe)
    assert plan_for(UNIFORM, "sigma-zero", **given) == plan
    plan = AttackPlan("pointwise", rule="run-off", repetitions=3)
    assert plan_for(PARTITION, "pointwise", rule="run-off", repetitions=3) == plan


@pytest.mark.parametrize(
    ("design", "attack", "given", "sentence"),
    [
        (UNIFORM, "greedy", {"repetitions": 2}, "no repetitions for greedy"),
        (UNIFORM, "greedy", {"steps": 2}, "no number of steps for greedy"),
        (UNIFORM, "exchange", {"repetitions": 2}, "no repetitions for exchange"),
        (UNIFORM, "pointwise", {"num_gradient": 9}, "no num_gradient for pointwise"),
        (UNIFORM, "sparse-rs", {"num_gradient": 9}, "no num_gradient for sparse-rs"),
        (UNIFORM, "sigma-zero", {"num_search": 9}, "no num_search for sigma-zero"),
        (UNIFORM, "pointwise", {"steps": 2}, "no number of steps for pointwise"),
        (UNIFORM, "nothing", {"repetitions": 2}, "attack to be one of pointwise, .* got 'nothing'"),
        (UNIFORM, "pointwise", {"rule": "run-off"}, "rules majority, margin, pairwise"),
        (PARTITION, "pointwise", {"rule": "majority"}, "rules plurality, run-off, pairwise"),
        (PARTITION, "pointwise", {"alpha": 0.1}, "no alpha for 4 strided sets of 64, a fixed"),
        (
            PARTITION,
            "sigma-zero",
            {"num_search": 9, "num_gradient": 9},
            "no num_gradient and no num_search for 4 strided sets of 64, a fixed family",
        ),
    ],
)
def test_options_that_would_be_ignored_get_a_sentence(
    design: Design, attack: str, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        plan_for(design, attack, **given)
