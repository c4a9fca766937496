"""Sequential sampling in the commands: stored, resumable, read back by every later command."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sparsecert.errors import InputError
from sparsecert.procedures import procedure as workflow
from sparsecert.procedures.sampled import SamplingPlan
from sparsecert.procedures.sequential import stored_looks
from sparsecert.records.record import recorded_procedure
from sparsecert.runs.folder import RunFolder
from sparsecert.streams import Stage
from sparsecert.theory.sequential import look_schedule
from tests.cli.test_commands import COMMAND, comparable, fails, folder, record, run, trained

__all__ = ["folder", "trained"]  # fixtures

PLAN = ["--num-selection", 40, "--num-samples", 600, "--sampling", "sequential"]


def looks_stored(folder: Path, stage: Stage = Stage.ESTIMATION) -> dict[int, int]:
    """How many looks each image has reached."""
    parts = RunFolder(folder).tallies_path.glob(f"{stage.name.lower()}-sequential-*.parquet")
    reached: dict[int, int] = {}
    for path in parts:
        table, num_looks = pq.read_table(path), len(look_schedule(600))
        counts = np.stack(table["first_choice"].to_numpy()).reshape(len(table), num_looks, -1)
        looks = (counts.sum(axis=2) > 0).sum(axis=1).tolist()
        for index, count in zip(table["index"].to_pylist(), looks, strict=True):
            reached[index] = max(count, reached.get(index, 0))
    return reached


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("sparsecert.procedures.sequential.smoothed_classifier", refuse)


def test_certify_stores_looks_and_says_how_many_ballots(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("certify", folder, "--limit", 60, *PLAN)
    assert "ballots per image that estimate, mean" in " ".join(capsys.readouterr().out.split())
    result = record(folder)
    assert result["sampling"] == "sequential"
    assert result["num_samples"] == 600
    looks = look_schedule(600)
    ballots = [int(looks[reached - 1]) for reached in looks_stored(folder).values()]
    assert len(ballots) == 60
    assert len(set(ballots)) > 2
    assert result["mean_num_samples"] == round(float(np.mean(ballots)), 1) < 600
    assert "--sampling sequential" in result["command"]
    procedure = recorded_procedure(result)
    assert procedure.plan == SamplingPlan(40, 600, 0, "sequential")
    no_network(monkeypatch)
    run("certify", folder, "--limit", 60, *PLAN)
    run("certify", folder, "--limit", 20, *PLAN)


def test_radii_are_those_of_the_smoothed_classifier(folder: Path) -> None:
    run("certify", folder, "--limit", 12, *PLAN)
    opened = RunFolder(folder)
    procedure = recorded_procedure(record(folder))
    dataset = workflow.load_evaluation_data(opened)
    measured = workflow.measure(opened, dataset, procedure)
    smoothed: Any = workflow.load(folder)
    found = smoothed.certify(
        dataset.batch(measured.indices), 40, 600, sampling="sequential", indices=measured.indices
    )
    np.testing.assert_array_equal(found.label, measured.certification.label)
    # A run counts until its prediction is settled as well.
    assert (found.num_samples <= measured.certification.num_samples).all()
    same = found.num_samples == measured.certification.num_samples
    assert same.sum() > 6
    np.testing.assert_array_equal(found.radius[same], measured.certification.radius[same])
    assert (found.radius <= measured.certification.radius).all()


def test_another_rule_and_alpha_go_on_from_the_same_counts(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    run("certify", folder, "--limit", 30, *PLAN)
    before = looks_stored(folder)
    run("certify", folder, "--limit", 30, *PLAN, "--rule", "pairwise")
    run("certify", folder, "--limit", 30, *PLAN, "--rule", "pairwise", "--alpha", 0.001)
    after = looks_stored(folder)
    assert all(after[index] >= count for index, count in before.items())
    assert after != before
    run("certify", folder, "--limit", 30, *PLAN, "--rule", "pairwise")
    run("certify", other, "--limit", 30, *PLAN, "--rule", "pairwise")
    assert comparable(folder) == comparable(other)


def test_counts_for_another_rule_are_reported_as_such(folder: Path) -> None:
    run("certify", folder, "--limit", 40, *PLAN)
    opened, procedure = RunFolder(folder), recorded_procedure(record(folder))
    dataset = workflow.load_evaluation_data(opened)
    own = workflow.measure(opened, dataset, procedure)
    assert own.num_unfinished == 0
    others = workflow.Procedure(40, procedure.plan, 0.001, "pairwise")
    assert workflow.measure(opened, dataset, others).num_unfinished > 0
    run("report", folder)
    page = RunFolder(folder).report_path.read_text()
    assert "n = 600 at most" in page
    assert "ballots per image that estimate, mean" in page


def test_predict_counts_sequentially(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--limit", 40, "--num-samples", 600, "--sampling", "sequential"]
    run("predict", folder, *words)
    assert "ballots per image, mean" in capsys.readouterr().out
    reached = looks_stored(folder, Stage.PREDICTION)
    assert len(reached) == 40
    assert min(reached.values()) == 1
    no_network(monkeypatch)
    run("predict", folder, *words)


def test_killed_sequential_certification_resumes_to_the_same_table(
    folder: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    words = ["certify", *map(str, PLAN)]
    often = (
        "import sparsecert.procedures.sampled as w; w._FLUSH_SECONDS = 0; "
        "import sparsecert.procedures.sequential as s; s._PASSES_PER_GROUP = 1"
    )
    script = f"{often}; from sparsecert.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words, str(folder)], stderr=subprocess.DEVNULL
    )
    tallies = RunFolder(folder).tallies_path
    deadline = time.monotonic() + 120
    while len(list(tallies.glob("estimation-sequential-*.parquet"))) < 5:
        assert process.poll() is None, "certification ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "record.json").exists()
    before = looks_stored(folder)
    assert 5 <= len(before) < 450
    subprocess.run([*COMMAND, *words, str(folder)], check=True, capture_output=True)
    subprocess.run([*COMMAND, *words, str(other)], check=True, capture_output=True)
    assert comparable(folder) == comparable(other)
    assert len(list(tallies.glob("estimation-sequential-*.parquet"))) == 1
    after = looks_stored(folder)
    assert before.items() <= after.items()
    assert len(after) == 450


def test_attacks_read_sequential_certificates(folder: Path) -> None:
    run("certify", folder, "--limit", 4, *PLAN)
    run(
        "attack",
        folder,
        "--limit",
        4,
        "--attack",
        "pointwise",
        "--repetitions",
        1,
        "--num-samples",
        50,
    )
    (path,) = (folder / "attacks").glob("*.json")
    found = json.loads(path.read_text())
    assert found["images_with_votes"] == 4
    assert max(found["certified_radii"]) >= 0


def test_sequential_votes_that_are_missing_get_a_sentence(folder: Path) -> None:
    opened = RunFolder(folder)
    dataset = workflow.load_evaluation_data(opened)
    plan = SamplingPlan(40, 600, 0, "sequential")
    with pytest.raises(InputError, match=r"no sequential estimation votes .* run `sparsecert"):
        stored_looks(opened, dataset, np.arange(3), plan, Stage.ESTIMATION)


def test_bad_sampling_gets_a_sentence(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "sampling" in fails(capsys, "certify", folder, "--sampling", "bogus").lower()
    with pytest.raises(InputError, match="one of fixed, sequential, got 'bogus'"):
        SamplingPlan(sampling="bogus")
    family = tmp_path / "family"
    words = ["--design", "partition", "--sets", 8, "--epochs", 1]
    run("train", "--data", "digits", *words, "--out", family)
    for command in ("certify", "predict"):
        error = fails(capsys, command, family, "--limit", 5, "--sampling", "sequential")
        assert "expected sampling to be fixed for a fixed family" in error


def test_old_records_are_of_fixed_plans(folder: Path) -> None:
    run("certify", folder, "--limit", 5, "--num-selection", 40, "--num-samples", 200)
    result = record(folder)
    assert result["sampling"] == "fixed"
    assert result["mean_num_samples"] == 200
    del result["sampling"], result["mean_num_samples"]
    assert recorded_procedure(result).plan == SamplingPlan(40, 200, 0, "fixed")


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
def test_with_many_classes_a_run_stores_and_reads_those_each_image_follows(
    sampling: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsecert.votes.tally.MOST_CLASSES_HEAD_TO_HEAD", 3)
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    plan = [*PLAN[:4], "--sampling", sampling, "--rule", "pairwise"]
    run("certify", folder, "--limit", 6, *plan)
    run("certify", folder, "--limit", 12, *plan)
    for path in RunFolder(folder).tallies_path.glob("*.parquet"):
        looks = "-sequential-" in path.name
        assert pq.read_schema(path).field("followed").type.list_size == (2 if looks else 8)
    run("certify", whole, "--limit", 12, *plan)
    assert comparable(folder) == comparable(whole)
    no_network(monkeypatch)
    if sampling == "sequential":
        run("certify", folder, "--limit", 12, *plan)
