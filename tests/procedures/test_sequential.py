"""Sequential sampling in the commands: stored, resumable, read back by every later command."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sparsecert.certification import certify_tally
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.procedures.procedure import Procedure
from sparsecert.procedures.run import load, recorded_procedure, run_images
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.rules import RULES
from sparsecert.runs.folder import RunFolder
from sparsecert.theory import boundaries
from sparsecert.theory.schedule import growing_looks, look_schedule
from sparsecert.votes.tally import Tally
from tests.helpers.commands import PROBE, Fails, Output, comparable, parts, record, report, run
from tests.helpers.internals import few_are_many, no_network
from tests.helpers.votes import looks_reached

PLAN = ["--num-selection", 40, "--num-samples", 600, "--sampling", "sequential"]
PROCEDURE = SampledProcedure(40, 600, "sequential")


def recorded(folder: Path) -> Procedure:
    """The procedure that the run's record names."""
    return recorded_procedure(RunFolder(folder).config.design, record(folder))


def test_certify_stores_looks_and_says_how_many_ballots(
    folder: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("certify", folder, "--limit", 60, *PLAN)
    assert "ballots per image that estimate, mean" in output()
    result = record(folder)
    assert result["sampling"] == "sequential"
    assert result["sampling_version"] == boundaries.VERSION
    assert result["num_samples"] == 600
    looks = growing_looks(600)
    ballots = [looks[reached - 1] for reached in looks_reached(folder, 600).values()]
    assert len(ballots) == 60
    assert len(set(ballots)) > 2
    assert result["mean_num_samples"] == round(float(np.mean(ballots)), 1) < 600
    assert "--sampling sequential" in result["command"]
    assert recorded(folder) == PROCEDURE
    no_network(monkeypatch)
    run("certify", folder, "--limit", 60, *PLAN)
    run("certify", folder, "--limit", 20, *PLAN)


def test_radii_are_those_of_the_smoothed_classifier(folder: Path) -> None:
    run("certify", folder, "--limit", 12, *PLAN)
    images = run_images(RunFolder(folder), limit=12)
    measured = recorded(folder).measure(images)
    smoothed: Any = load(folder)
    x, indices = images.dataset.batch(images.indices), images.indices
    found = smoothed.certify(x, 40, 600, sampling="sequential", seed=0, indices=indices)
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
    before = looks_reached(folder, 600)
    run("certify", folder, "--limit", 30, *PLAN, "--rule", "pairwise")
    run("certify", folder, "--limit", 30, *PLAN, "--rule", "pairwise", "--alpha", 0.001)
    after = looks_reached(folder, 600)
    assert all(after[index] >= count for index, count in before.items())
    assert after != before
    run("certify", folder, "--limit", 30, *PLAN, "--rule", "pairwise")
    run("certify", other, "--limit", 30, *PLAN, "--rule", "pairwise")
    assert comparable(folder) == comparable(other)


def test_counts_for_another_rule_are_reported_as_such(folder: Path) -> None:
    run("certify", folder, "--limit", 40, *PLAN)
    images = run_images(RunFolder(folder), limit=40)
    assert recorded(folder).measure(images).num_unfinished == 0
    others = replace(PROCEDURE, alpha=0.001, rule="pairwise")
    assert others.measure(images).num_unfinished > 0
    page = report(folder)
    assert "n = 600 at most" in page
    assert "ballots per image that estimate, mean" in page


def test_a_target_is_decided_with_fewer_ballots(
    folder: Path, tmp_path: Path, output: Output, fails: Fails
) -> None:
    """Whoever asks about one radius gets the same answer as who asks about all, and sooner."""
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    run("certify", whole, "--limit", 60, *PLAN)
    run("certify", folder, "--limit", 60, *PLAN, "--target", 1)
    assert "until 1 is decided" in output()
    made, found = record(folder), record(whole)
    assert made["target"] == 1
    assert "target" not in found
    assert "--target 1" in made["command"]
    assert recorded(folder) == replace(PROCEDURE, target=1)
    assert made["mean_num_samples"] < found["mean_num_samples"]
    assert made["certified_accuracy"][1] == found["certified_accuracy"][1] > 0
    assert recorded(folder).measure(run_images(RunFolder(folder), limit=60)).num_unfinished == 0
    assert "until 1 is decided" in report(folder)

    images = run_images(RunFolder(folder), limit=60)
    targeted, untargeted = (p.measure(images).certification for p in (recorded(folder), PROCEDURE))
    assert (targeted.radius <= untargeted.radius).all()
    run("certify", folder, "--limit", 60, *PLAN)
    assert comparable(folder) == comparable(whole)

    for words, sentence in (
        ((*PLAN[:4], "--target", 1), "no target with a fixed number of samples"),
        (
            (*PLAN, "--target", 99),
            "as far as this design and number of samples can certify by the rule majority, got 99",
        ),
        ((*PLAN, "--target", -1), "target radius of at least 0, got -1"),
        ((*PLAN, "--target", 1, "--top", 2, "--rule", "margin"), "no target for the top 2"),
    ):
        fails(sentence, "certify", folder, "--limit", 60, *words)


def test_a_target_is_no_obstacle_to_a_rule_that_cannot_reach_it(folder: Path, fails: Fails) -> None:
    """As page and attacks read the votes by every rule."""
    design, words = UniformAblation(64, 12), ["--limit", 10, "--sampling", "sequential"]

    def most(rule: str, n: int) -> int:
        return len(RULES[rule].within_reach(design, n, 10, 0.05)) - 1

    n = next(n for n in range(20, 200) if most("margin", n) < most("majority", n))
    target = most("majority", n)
    run("certify", folder, *words, "--num-samples", n, "--target", target)
    assert f"until {target} is decided" in report(folder)
    run("attack", folder, "--limit", 1, "--attack", "sparse-rs", "--steps", 2, *PROBE)
    sentence = f"can certify by the rule margin, got {target}"
    refused = ["--rule", "margin", "--num-samples", n, "--target", target]
    fails(sentence, "certify", folder, *words, *refused)


def test_a_target_between_tested_thresholds_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, design = look_schedule("sequential", 10_000), UniformAblation(784, 45)
    monkeypatch.setattr("sparsecert.theory.majority._MOST_THRESHOLDS", 3)
    first = np.zeros((1, len(looks), 3), dtype=np.int64)
    first[0, :, 0] = np.array(looks) * 9 // 10
    first[0, :, 1] = np.array(looks) - first[0, :, 0]
    label = np.array([0])
    whole = certify_tally(Tally(first, looks=looks), label, design)
    target = whole.radius.item() + 1
    found = certify_tally(Tally(first, looks=looks), label, design, target=target)
    assert found.radius.item() == target
    assert found.num_samples.item() < 10_000


@pytest.mark.parametrize("rule", ["majority", "margin", "pairwise"])
def test_a_target_only_stops_sooner(folder: Path, rule: str) -> None:
    smoothed: Any = load(folder)
    images = run_images(RunFolder(folder), limit=40)
    x = images.dataset.batch(images.indices)
    plan: dict[str, Any] = {"rule": rule, "sampling": "sequential", "seed": 0}
    every = smoothed.certify(x, 40, 600, **plan)
    for target in (0, 1):
        found = smoothed.certify(x, 40, 600, target=target, **plan)
        np.testing.assert_array_equal(found.radius >= target, every.radius >= target)
        assert (found.num_samples <= every.num_samples).all()
        assert (found.num_samples < every.num_samples).any()
        assert (found.radius <= every.radius).all()
    with pytest.raises(InputError, match=r"from 0 to \d+, .*, got 60"):
        smoothed.certify(x, 40, 600, target=60, **plan)


def test_predict_counts_sequentially(
    folder: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--limit", 40, "--num-samples", 600, "--sampling", "sequential"]
    run("predict", folder, *words)
    assert "ballots per image, mean" in output()
    reached = looks_reached(folder, 600, "prediction")
    assert len(reached) == 40
    assert min(reached.values()) == 1
    no_network(monkeypatch)
    run("predict", folder, *words)


def test_attacks_read_sequential_certificates(folder: Path) -> None:
    run("certify", folder, "--limit", 4, *PLAN)
    run("attack", folder, "--limit", 4, "--repetitions", 1, "--num-samples", 50)
    found = record(folder / "attacks", "pointwise.json")
    assert found["images_with_votes"] == 4
    assert max(found["certified_radii"]) >= 0


def test_sequential_votes_that_are_missing_get_a_sentence(folder: Path) -> None:
    run("certify", folder, "--limit", 3, *PLAN[:4])
    sentence = r"no estimation-sequential votes .* run `sparsecert certify --sampling sequential`"
    with pytest.raises(InputError, match=sentence):
        PROCEDURE.measure(run_images(RunFolder(folder), limit=3))


@pytest.mark.usefixtures("unchecked")
def test_bad_sampling_gets_a_sentence(digits_run: Path, family_run: Path, fails: Fails) -> None:
    fails("sampling", "certify", digits_run, "--sampling", "bogus")
    with pytest.raises(InputError, match="one of fixed, sequential, got 'bogus'"):
        SampledProcedure(sampling="bogus")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected target to be an integer, got 1\.5"):
        SampledProcedure(sampling="sequential", target=1.5)  # type: ignore[arg-type]
    for command in ("certify", "predict"):
        sentence = "expected no sampling for 3 times 12 stratified sets of 64, a fixed family"
        fails(sentence, command, family_run, "--limit", 5, "--sampling", "sequential")


def test_old_records_are_of_fixed_plans(folder: Path) -> None:
    run("certify", folder, "--limit", 5, "--num-selection", 40, "--num-samples", 200)
    result = record(folder)
    assert result["sampling"] == "fixed"
    assert "sampling_version" not in result
    assert result["mean_num_samples"] == 200
    del result["sampling"], result["mean_num_samples"]
    design = RunFolder(folder).config.design
    assert recorded_procedure(design, result) == SampledProcedure(40, 200)


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
def test_with_many_classes_a_run_stores_and_reads_those_each_image_follows(
    sampling: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_are_many(monkeypatch)
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    plan = [*PLAN[:4], "--sampling", sampling, "--rule", "pairwise"]
    run("certify", folder, "--limit", 6, *plan)
    run("certify", folder, "--limit", 12, *plan)
    for path in parts(folder):
        looks = "-sequential-" in path.name
        assert pq.read_schema(path).field("followed").type.list_size == (2 if looks else 8)
    run("certify", whole, "--limit", 12, *plan)
    assert comparable(folder) == comparable(whole)
    no_network(monkeypatch)
    if sampling == "sequential":
        run("certify", folder, "--limit", 12, *plan)
