"""A partition through every command, as a random ablation goes through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparsecert as sc
from sparsecert import data
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.ballots import ranks_of
from tests.helpers.commands import Fails, Output, parts, record, report, run, train


@pytest.fixture
def folder(family_folder: Path) -> Path:
    return family_folder


def test_certify_stores_ballots_that_answer_every_rule(
    folder: Path, tmp_path: Path, output: Output
) -> None:
    run("certify", folder, "--rule", "pairwise", "--tsv", tmp_path / "votes.tsv")
    assert "pairwise rule, alpha = 0.0" in output()
    pairwise = record(folder)
    assert pairwise["design"] == "partition"
    assert (pairwise["num_sets"], pairwise["copies"], pairwise["layout"]) == (12, 3, "stratified")
    assert (pairwise["num_samples"], pairwise["alpha"], pairwise["abstained"]) == (36, 0, 0)
    assert pairwise["median_certified_robustness"] >= 1
    lines = (tmp_path / "votes.tsv").read_text().splitlines()
    assert len(lines) == 451

    (part,) = parts(folder)
    before = part.read_bytes()
    for rule in ("plurality", "run-off"):
        run("certify", folder, "--rule", rule)
        assert record(folder)["rule"] == rule
        assert record(folder)["accuracy"] != pairwise["accuracy"] or rule == "run-off"
    assert part.read_bytes() == before  # the network was not run again

    smoothed = sc.load(folder)
    assert isinstance(smoothed, sc.FixedSmoothedClassifier)
    dataset = data.load("digits", "test")
    certification = smoothed.certify(dataset.batch(range(450)), "pairwise")
    correct = certification.label == dataset.labels
    assert pairwise["accuracy"] == pytest.approx(correct.mean())
    for rho, share in enumerate(pairwise["certified_accuracy"]):
        assert sc.certified_accuracy(certification.radius, correct, rho) == pytest.approx(share)


def test_the_overview_names_the_family(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    run("certify", folder, "--limit", 20, "--record", results / "partition.json")
    run("reproduce", "overview", "--results", results)
    page = (results / "README.md").read_text()
    assert "| [partition](partition.json) | digits, 3 x 12 stratified sets |" in page
    assert "--design partition --sets 12 --copies 3 --layout stratified" in page


def test_predict_report_and_info(folder: Path, output: Output) -> None:
    run("predict", folder, "--limit", 40, "--rule", "run-off")
    assert "run-off rule" in output()
    run("certify", folder, "--limit", 40, "--rule", "run-off")
    assert "--rule run-off" in record(folder)["command"]
    page = report(folder)
    assert "holds with certainty" in page
    for rule in ("plurality", "run-off", "pairwise"):
        assert f"{rule} rule" in page
    run("info", folder)
    assert "3 times 12 stratified sets of 64" in output()


@pytest.mark.parametrize(("attack", "rule"), [("sigma-zero", "pairwise"), ("pointwise", "run-off")])
def test_no_attack_succeeds_within_a_radius(folder: Path, attack: str, rule: str) -> None:
    words = ["--attack", attack, "--rule", rule, "--limit", 12]
    words += ["--steps", 60] if attack == "sigma-zero" else ["--repetitions", 3]
    run("attack", folder, *words)  # before anything was certified
    run("certify", folder, "--limit", 36)
    run("attack", folder, *words)
    result = record(folder / "attacks", f"{attack}-{rule}.json")
    assert result["rule"] == rule
    assert f"--rule {rule}" in result["command"]
    assert result["attempts_within_certificate"] > 5
    assert result["successes_within_certificate"] == 0
    assert result["success"] > 0.9
    assert result["ballots"]["drawn"] == 0
    smoothed = sc.load(folder)
    assert isinstance(smoothed, sc.FixedSmoothedClassifier)
    sizes, radii = np.array(result["attack_magnitudes"]), np.array(result["certified_radii"])
    assert (sizes[radii >= 0] > radii[radii >= 0]).all()
    assert attack in report(folder)


def test_the_recorded_command_repeats_the_training(folder: Path, tmp_path: Path) -> None:
    run("certify", folder, "--limit", 20)
    train, _ = record(folder)["command"].split(" && ")
    words = train.split()[1:]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    run(*words)
    again = RunFolder(tmp_path / "again")
    assert again.fingerprint() == RunFolder(folder).fingerprint()


def test_one_network_for_all_sets(tmp_path: Path) -> None:
    words = ["--design", "partition", "--sets", 5, "--layout", "random", "--copies", 4]
    path = train(tmp_path / "shared", *words, "--model", "mlp", "--epochs", 20)
    run("certify", path, "--rule", "pairwise")
    assert record(path)["architecture"] == "mlp"
    assert record(path)["accuracy"] > 0.85
    assert RunFolder(path).config.width is None


def test_what_does_not_fit_gets_a_sentence(family_run: Path, tmp_path: Path, fails: Fails) -> None:
    new = ("train", "--data", "digits", "--out", tmp_path / "new")
    partition = (*new, "--design", "partition")
    fails("expected --sets", *partition)
    fails("for the design partition, and no --retained", *partition, "--sets", 4, "--retained", 5)
    fails("for the design uniform, and no --sets", *new, "--retained", 5, "--sets", 4)
    fails("num_sets between 1", *partition, "--sets", 65)
    mlp = ("--model", "mlp", "--width", 8)
    fails("a width for a subset ensemble", *partition, "--sets", 4, *mlp)
    ensemble = ("--model", "subset-ensemble")
    fails("design partition or bands for a subset ensemble", *new, "--retained", 5, *ensemble)
    # The width is that of the run to start from, else that would be the sentence.
    sentence = "to start from with the same sets"
    fails(sentence, *partition, "--sets", 5, "--start", family_run)
    assert not (tmp_path / "new").exists()
    fails("rules plurality, run-off, pairwise", "certify", family_run, "--rule", "majority")
    fails("rules plurality, run-off, pairwise", "attack", family_run, "--rule", "margin")
    few, strict = ("--num-samples", 100), ("--alpha", 0.1)
    for command in ("certify", "predict", "attack"):
        fails("expected no num_samples for 3 times 12 stratified", command, family_run, *few)
        fails("expected no alpha and no num_samples for", command, family_run, *few, *strict)
    other = ("--num-selection", 9, "--seed", 1)
    fails("expected no num_selection and no seed for", "certify", family_run, *other)


def test_ranks_follow_the_scores() -> None:
    scores = np.array([[[0.5, 2.0, 0.5], [1.0, 1.0, 1.0]]])
    assert ranks_of(scores).tolist() == [[[1, 0, 2], [0, 1, 2]]]
