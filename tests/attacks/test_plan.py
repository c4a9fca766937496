"""What stored attacks and records are found by."""

from __future__ import annotations

import json
from pathlib import Path

from sparsecert.attacks import AttackPlan

RESULTS = Path(__file__).parents[2] / "results"


def test_plans_of_records_are_read_and_named_as_when_they_were_stored() -> None:
    records = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
    plans = [record["plan"] for record in records if record.get("kind") == "attack"]
    assert "noise" in {plan["start"] for plan in plans}
    for plan in plans:
        assert AttackPlan.from_json(plan).to_json() == plan
