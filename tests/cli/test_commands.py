"""The commands as a user runs them, with a small model on digits."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import sparsecert as sc
from sparsecert import data
from sparsecert.runs.folder import RunFolder
from sparsecert.streams import Stage
from tests.helpers.commands import (
    SMALL,
    Fails,
    Output,
    parts,
    read_json,
    record,
    report,
    run,
    train,
)
from tests.helpers.internals import no_network, short_demo


def test_certify_writes_record_and_table(folder: Path, tmp_path: Path, output: Output) -> None:
    tsv, copy = tmp_path / "votes.tsv", tmp_path / "results" / "digits.json"
    run("certify", folder, "--limit", 60, *SMALL, "--tsv", tsv, "--record", copy)
    assert "classification accuracy" in output()
    result = record(folder)
    assert read_json(copy) == result
    assert {
        "dataset": "digits",
        "design": "uniform",
        "num_retained": 12,
        "encoding": "two-channel",
        "rule": "majority",
        "recipe": "fast",
        "num_images": 60,
        "alpha": 0.05,
    }.items() <= result.items()
    for key in ("accuracy", "abstained", "certified_accuracy", "hardware", "seconds", "version"):
        assert key in result
    low, high = result["intervals"]["accuracy"]
    assert low <= result["accuracy"] <= high
    assert "--limit 60" in result["command"]
    with tsv.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 60
    certified = sum(int(row["correct"]) for row in rows) / 60
    assert certified == pytest.approx(result["certified_accuracy"][0])


def test_other_alpha_and_rule_read_tallies_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("certify", folder, "--limit", 40, *SMALL)
    loose = record(folder)
    no_network(monkeypatch)
    run("certify", folder, "--limit", 40, *SMALL, "--alpha", 0.001)
    strict = record(folder)
    assert strict["alpha"] == 0.001
    pairs = zip(strict["certified_accuracy"], loose["certified_accuracy"], strict=False)
    assert all(lower <= upper for lower, upper in pairs)
    assert strict["certified_accuracy"] != loose["certified_accuracy"]
    run("certify", folder, "--limit", 20, *SMALL, "--rule", "margin")
    assert (record(folder)["rule"], record(folder)["num_images"]) == ("margin", 20)
    run("certify", folder, "--limit", 40, *SMALL, "--rule", "pairwise")
    pairs = zip(record(folder)["certified_accuracy"], loose["certified_accuracy"], strict=False)
    assert all(pairwise >= majority for pairwise, majority in pairs)
    assert record(folder)["median_certified_robustness"] is not None


def test_votes_counted_without_rankings_serve_the_other_rules(folder: Path, fails: Fails) -> None:
    run("certify", folder, "--limit", 10, *SMALL)
    for path in parts(folder):
        pq.write_table(pq.read_table(path).drop_columns("head_to_head"), path)
    run("certify", folder, "--limit", 10, *SMALL, "--rule", "margin")
    fails("count again", "certify", folder, "--limit", 10, *SMALL, "--rule", "pairwise")
    page = report(folder)
    assert ("margin rule" in page, "pairwise rule" in page) == (True, False)


@pytest.mark.parametrize(
    ("copied", "words", "sentence"),
    [
        ("folder", ["--top", 10, "--rule", "margin"], "expected top from 1 to 9, got 10"),
        ("folder", ["--top", 2], "for the top 2, got majority"),
        ("family_folder", ["--top", 10], "expected top from 1 to 9, got 10"),
        ("family_folder", ["--top", 2, "--rule", "run-off"], "for the top 2, got run-off"),
    ],
)
def test_a_top_that_cannot_be_is_refused_before_any_ballot(
    copied: str, words: list[object], sentence: str, request: pytest.FixtureRequest, fails: Fails
) -> None:
    run_folder = request.getfixturevalue(copied)
    fails(sentence, "certify", run_folder, "--limit", 5, *words)
    assert not parts(run_folder)


def test_predict_report_and_info(folder: Path, output: Output) -> None:
    run("predict", folder, "--limit", 30, "--num-samples", 200, "--show", 3)
    assert "classification accuracy" in output()
    run("predict", folder, "--limit", 30, "--num-samples", 200, "--rule", "pairwise")
    assert "pairwise rule" in output()
    run("certify", folder, "--limit", 30, *SMALL)
    page = report(folder)
    assert "pairwise rule" in page
    assert page.count("<svg") == 3
    assert page.count("data:image/png;base64,") == 8 * 5
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('xlink:href="http', "")
    run("info", folder)
    shown = output()
    assert "k = 12 of 64" in shown
    assert "finished" in shown


def test_base_measures_single_ballots_of_both_splits(
    folder: Path, family_run: Path, tmp_path: Path, output: Output, fails: Fails
) -> None:
    path = tmp_path / "base.json"
    run("base", folder, "--record", path)
    shown, result = output(), json.loads(path.read_text())
    smoothed = sc.load(folder)
    assert isinstance(smoothed, sc.SmoothedClassifier)
    for name, split in (("training", "train"), ("test", "test")):
        value = result[f"{split}_accuracy"]
        assert f"{name} inputs │ {100 * value:.2f} %" in shown
        # Other ablations of the same inputs, twenty of each.
        dataset = data.load("digits", split)
        x = dataset.batch(range(len(dataset)))
        votes = smoothed.tally(x, 20, Stage.PREDICTION, seed=3).first_choice
        expected = votes[np.arange(len(dataset)), dataset.labels].sum() / votes.sum()
        assert value == pytest.approx(expected, abs=4 * (0.25 / len(dataset)) ** 0.5)
    assert result["command"].endswith(f"sparsecert base {folder}")
    fails("expected a run whose design draws samples", "base", family_run)


def test_demo_trains_certifies_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    short_demo(monkeypatch)
    run("demo", "--out", tmp_path / "demo")
    assert record(tmp_path / "demo")["num_images"] == 5
    assert f"report: {RunFolder(tmp_path / 'demo').report_path}" in output()


def test_a_report_is_opened_where_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run("certify", folder, "--limit", 2, *SMALL)
    run("report", folder)
    assert opened == []
    run("report", folder, "--open")
    assert opened == [RunFolder(folder).report_path.as_uri()]


def test_info_tells_a_run_that_has_not_finished(folder: Path, output: Output) -> None:
    RunFolder(folder).model_path.unlink()
    run("info", folder)
    assert "not finished" in output()


def test_a_damaged_log_gets_a_sentence(folder: Path, fails: Fails) -> None:
    with RunFolder(folder).log_path.open("a") as log:
        log.write('{"epo')
    fails("train.jsonl is damaged", "certify", folder, "--limit", 2, *SMALL)


def test_vectors_end_to_end(tmp_path: Path, output: Output, fails: Fails) -> None:
    path = tmp_path / "run"
    run("train", "--data", "breast-cancer", "--retained", 5, "--epochs", 20, "--out", path)
    run("certify", path, *SMALL)
    assert "(features)" in output()
    # A table with another range of its own is scaled as the training data was.
    own, scaled = data.load("breast-cancer", "test"), RunFolder(path).config.feature_range
    assert scaled is not None
    raw = own.inputs * (np.array(scaled.high) - scaled.low) + scaled.low
    table = tmp_path / "table.npz"
    np.savez(table, x_train=raw[:5], y_train=own.labels[:5], x_test=raw, y_test=own.labels)
    again = data.load(str(table), "test", scaled)
    np.testing.assert_allclose(again.inputs, own.inputs, atol=1e-6)
    fails("expected the classes malignant, benign", "certify", path, "--data", table)
    assert "features" in report(path)
    assert record(path)["accuracy"] > 0.8


def test_mean_encoding_end_to_end(tmp_path: Path) -> None:
    words = ["--retained", 12, "--encoding", "mean", "--epochs", 10, "--batch-size", 100]
    path = train(tmp_path / "run", *words)
    config = RunFolder(path).config
    assert config.recipe.batch_size == 100
    assert config.encoding_mean is not None
    assert config.encoding_mean[0] == pytest.approx(0.305, abs=0.01)
    run("certify", path, "--limit", 50, *SMALL)
    assert record(path)["encoding"] == "mean"
    assert "--batch-size 100" in record(path)["command"]


def test_a_run_goes_on_for_a_radius(digits_run: Path, tmp_path: Path, fails: Fails) -> None:
    words = ("--retained", 12, "--recipe", "radius")
    new = ("train", "--data", "digits", "--out", tmp_path / "run", *words)
    fails("expected a radius from 0 to 3", *new, "--start", digits_run)
    fails("a trained run to start from", *new, "--radius", 1)
    path = train(tmp_path / "run", *words, "--start", digits_run, "--radius", 1, "--epochs", 1)
    run("certify", path, "--limit", 5, "--rule", "pairwise", *SMALL)
    values = record(path)
    assert (values["recipe"], values["radius_trained_for"], values["epochs"]) == ("radius", 1, 16)


def test_too_few_samples_warn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run("certify", folder, "--limit", 5, "--num-selection", 2, "--num-samples", 3)
    error = " ".join(capsys.readouterr().err.split())
    assert "warning: 3 samples cannot certify anything at alpha = 0.05" in error


def test_bad_input_ends_in_a_sentence(folder: Path, tmp_path: Path, fails: Fails) -> None:
    train = ("train", "--data", "digits", "--out", tmp_path / "new")
    fails("between 1 and num_features", *train, "--retained", 65)
    fails("between 1 and num_features", *train, "--retained", 0)
    fails("seed", *train, "--retained", 5, "--seed", -1)
    fails("expected --retained for the design uniform", *train)
    lee = (*train, "--design", "lee2019", "--keep-probability")
    for wrong in ((), ("--num-values", 2, "--retained", 5)):
        fails("--keep-probability and --num-values", *lee, 0.8, *wrong)
    mean = ("--num-values", 2, "--encoding", "mean")
    fails("expected the encoding to be none, as the design lee2019 needs it", *lee, 0.8, *mean)
    fails("above 1 / num_values", *lee, 0.5, "--num-values", 2)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    fails("choose another", *train[:3], "--retained", 12, "--out", tmp_path / "file" / "run")
    with pytest.MonkeyPatch.context() as patch:
        no_network(patch)  # the sentence comes before anything is counted
        fails("alpha", "certify", folder, "--alpha", 1)
        fails("alpha", "predict", folder, "--alpha", 1)
        fails("choose another", "certify", folder, "--tsv", tmp_path / "file" / "votes.tsv")
    fails("expected the path of a file", "certify", folder, "--tsv", tmp_path)
    fails("num_samples", "certify", folder, "--num-samples", 0)
    fails("limit", "certify", folder, "--limit", 0)
    fails("not a run folder", "certify", tmp_path)
    fails("not a run folder", "info", tmp_path / "nowhere")
    fails("has not been certified", "report", folder)
    fails("inputs of shape (1, 8, 8)", "certify", folder, "--data", "breast-cancer")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system nobody can write to")
def test_a_read_only_output_folder_gets_a_sentence(folder: Path, fails: Fails) -> None:
    train = ("train", "--data", "digits", "--retained", 12, "--out")
    for out in ("/proc/sparsecert", "/sys/sparsecert"):
        fails("cannot create the folder", *train, out)
    fails("cannot", "certify", folder, "--limit", 2, *SMALL, "--tsv", "/proc/votes.tsv")


def test_tallies_of_another_model_are_refused(folder: Path, tmp_path: Path, fails: Fails) -> None:
    words = ("--limit", 5, *SMALL)
    run("certify", folder, *words)
    other = train(tmp_path / "other", "--retained", 12, "--epochs", 1)
    shutil.copytree(RunFolder(folder).tallies_path, RunFolder(other).tallies_path)
    fails("another model", "certify", other, *words)
    part = parts(folder)[0]
    part.write_bytes(part.read_bytes()[:-7])
    fails("truncated", "certify", folder, *words)
