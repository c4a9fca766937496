"""Bands, patches and abstaining ballots through every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import sparsecert as sc
from sparsecert import data
from sparsecert.procedures.abstention import CANDIDATES, best_abstain, held_out_images
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import Fails, Output, parts, record, report, run, train

PATCH = ("--threat", "patch:1x1,2x2")


@pytest.fixture(scope="module")
def bands_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["--layout", "columns:2", "--width", 32, "--held-out", 200]
    path = tmp_path_factory.mktemp("runs") / "bands"
    return train(path, "--design", "bands", *words, "--epochs", 25)


@pytest.fixture
def folder(bands_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bands_run, tmp_path / "run"))


def test_certify_chooses_a_threshold_on_held_out_examples(
    folder: Path, tmp_path: Path, output: Output
) -> None:
    run("certify", folder, *PATCH, "--rule", "pairwise", "--abstain", "best")
    made, printed = record(folder), output()
    assert "certified accuracy by patch" in printed
    assert "certified accuracy, patch 2x2" in printed
    assert made["abstain"] in CANDIDATES
    assert made["abstain"] > 0
    assert f"--threat {PATCH[1]} --abstain {made['abstain']}" in made["command"]
    assert "--held-out 200" in made["command"]
    assert made["kind"] == "beyond"
    run("certify", folder, *PATCH, "--rule", "pairwise")
    never = record(folder)
    assert "abstain" not in never["command"]
    assert len(made["certified_accuracy"]) == 3
    assert made["certified_accuracy"][1] > never["certified_accuracy"][1] > 0

    smoothed, dataset = sc.load(folder), data.load("digits", "test")
    assert isinstance(smoothed, sc.FixedSmoothedClassifier)
    alone = smoothed.certify(
        dataset.batch(range(450)), "pairwise", threat=PATCH[1], abstain=made["abstain"]
    )
    correct = alone.label == dataset.labels
    for level, value in enumerate(made["certified_accuracy"]):
        assert sc.certified_accuracy(alone.radius, correct, level) == pytest.approx(value)


def test_predict_reads_ballots_as_certify_does(folder: Path, output: Output) -> None:
    labels = []
    for abstain in (0, 0.4):
        output()
        run("predict", folder, "--rule", "pairwise", "--abstain", abstain, "--json")
        labels.append(json.loads(output())["predictions"])
        tsv = folder.parent / "table.tsv"
        run("certify", folder, "--rule", "pairwise", "--abstain", abstain, "--tsv", tsv)
        rows = [line.split("\t") for line in tsv.read_text().splitlines()]
        column = rows[0].index("prediction")
        assert [int(row[column]) for row in rows[1:]] == labels[-1]
    assert labels[0] != labels[1]


def test_held_out_examples_are_not_trained_on(folder: Path) -> None:
    run_folder, dataset = RunFolder(folder), data.load("digits", "train")
    rows = held_out_images(run_folder).indices
    assert len(rows) == 200
    kept = dataset.without(rows)
    assert len(kept) == len(dataset) - 200
    seen = {image.tobytes() for image in kept.inputs}
    assert np.mean([image.tobytes() in seen for image in dataset.inputs[rows]]) < 0.05
    assert best_abstain(run_folder, {"rule": "plurality", "threat": "sparse"}) in CANDIDATES


def test_ballots_without_probabilities_are_read_and_cast_again_to_abstain(folder: Path) -> None:
    """Parts of earlier versions hold ranks alone."""
    run("certify", folder, "--limit", 40, "--rule", "pairwise")
    before = record(folder)
    (part,) = parts(folder)
    table = pq.read_table(part)
    pq.write_table(table.drop_columns("probabilities"), part)
    run("certify", folder, "--limit", 40, "--rule", "pairwise")
    assert record(folder)["certified_accuracy"] == before["certified_accuracy"]
    assert "probabilities" not in pq.read_schema(*parts(folder)).names
    run("certify", folder, "--limit", 30, "--abstain", 0.2)
    assert "probabilities" in pq.read_schema(*parts(folder)).names
    run("certify", folder, "--limit", 40, "--rule", "pairwise")
    assert record(folder)["certified_accuracy"] == before["certified_accuracy"]


def test_the_top_k_and_the_page(folder: Path, output: Output) -> None:
    accuracies = []
    for top in (1, 2, 3):
        run("certify", folder, "--limit", 60, "--rule", "pairwise", "--top", top)
        accuracies.append(record(folder)["accuracy"])
    assert accuracies == sorted(accuracies)
    assert record(folder)["top"] == 3
    assert "classification accuracy, top 3" in output()
    page = report(folder)
    assert "before the correct class can leave the top 3" in " ".join(page.split())
    assert "run-off rule" not in page
    run("certify", folder, "--limit", 60, *PATCH, "--abstain", 0.1, "--rule", "run-off")
    page = report(folder)
    assert "no change within one patch, wherever it lies, alters the answer" in " ".join(
        page.split()
    )
    assert "<td>2x2</td>" in page
    assert "higher by more than 0.1" in page


def test_no_patch_succeeds_at_a_certified_size(folder: Path, output: Output) -> None:
    words = ["--attack", "patch", *PATCH, "--rule", "pairwise", "--abstain", 0.1]
    run("certify", folder, "--limit", 24, *PATCH, "--rule", "pairwise", "--abstain", 0.1)
    run("attack", folder, *words, "--limit", 8, "--steps", 3)
    result = record(folder / "attacks", "patch-pairwise.json")
    sizes, radii = np.array(result["attack_magnitudes"]), np.array(result["certified_radii"])
    assert result["successes_within_certificate"] == 0
    assert (radii >= 1).sum() >= 3
    assert ((sizes > radii) | (sizes == -1) | (sizes == 0))[radii >= 0].all()
    assert (sizes[radii == 1] == 2).any()  # one that gets through where nothing is certified
    assert "--threat patch:1x1,2x2 --abstain 0.1" in result["command"]
    assert "patch, patch:1x1,2x2, pairwise rule" in report(folder)


def test_what_does_not_fit_gets_a_sentence(folder: Path, digits_run: Path, fails: Fails) -> None:
    new = ("train", "--data", "digits", "--out", folder.parent / "new", "--design", "bands")
    fails("expected --layout", *new)
    fails("layout to be one of columns:S", *new, "--layout", "round:2")
    fails("layout to be one of columns:S", *new, "--layout", "columns:" + "9" * 5_000)
    fails("between 1 and the side", *new, "--layout", "columns:9")
    fails("columns, rows or block for images", *new, "--layout", "window:2")
    fails("for the design bands, and no --sets", *new, "--layout", "columns:2", "--sets", 3)
    fails("held-out examples of", *new, "--layout", "columns:2", "--held-out", 1347)
    fails("no threat for", "certify", digits_run, "--threat", "patch:2x2")
    fails("threats and abstention are for fixed families", "certify", digits_run, "--abstain", 0.1)
    fails("patch:HxW for images", "certify", folder, "--threat", "window:3")
    fails("threats and abstention are for fixed families", "predict", digits_run, "--abstain", 0.1)
    fails("for the top 2, got run-off", "certify", folder, "--top", 2, "--rule", "run-off")
    fails("for the attack patch", "attack", folder, "--attack", "patch")
    fails("and for no other", "attack", folder, "--attack", "pointwise", *PATCH)
    fails(
        "a band network, got uniform",
        *new[:-1],
        "uniform",
        "--retained",
        4,
        "--model",
        "band-network",
    )
