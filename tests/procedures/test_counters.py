"""Votes say what cast them: where it was several, certificates are about none of them alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.commands import read_json, run

PLAN = ("--num-selection", 20, "--num-samples", 100)


@pytest.mark.parametrize("name", ["digits_run", "family_run"])
def test_records_say_what_cast_the_votes(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, plan = tmp_path / "run", PLAN if name == "digits_run" else ()
    shutil.copytree(request.getfixturevalue(name), folder)
    run("certify", folder, "--limit", 5, *plan)
    (own,) = read_json(folder / "record.json")["counted_by"]
    assert own.startswith("torch 2")
    assert "several ways" not in capsys.readouterr().err
    monkeypatch.setattr(
        "sparsecert.procedures.execution.what_computes", lambda compile: "an abacus"
    )
    run("certify", folder, "--limit", 5, *plan)  # nothing is missing, so nothing else counted
    assert read_json(folder / "record.json")["counted_by"] == [own]
    for _ in range(2):  # and after the parts have been merged
        run("certify", folder, "--limit", 9, *plan)
        assert read_json(folder / "record.json")["counted_by"] == sorted([own, "an abacus"])
        assert "several ways" in capsys.readouterr().err
