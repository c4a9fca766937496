"""The commands as a user runs them, with a small model on digits."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sparsecert import cli, data
from sparsecert.runs.folder import RunFolder

SMALL = ["--num-selection", "40", "--num-samples", "200"]
# For tests that compare results of two processes only; everything else runs in this one.
COMMAND = [sys.executable, "-m", "sparsecert"]


def run(*words: object) -> None:
    cli.main([str(word) for word in words])


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must end in exit status 2, and return its sentence."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return " ".join(error.split())


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    run("train", "--data", "digits", "--retained", 12, "--epochs", 15, "--out", path)
    return path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, with nothing counted yet."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def record(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((path / "record.json").read_text())
    return values


def comparable(path: Path) -> dict[str, Any]:
    return {key: value for key, value in record(path).items() if key not in ("seconds", "command")}


def test_certify_writes_record_and_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tsv, copy = tmp_path / "votes.tsv", tmp_path / "results" / "digits.json"
    run("certify", folder, "--limit", 60, *SMALL, "--tsv", tsv, "--record", copy)
    output = capsys.readouterr().out
    assert "classification accuracy" in output
    result = record(folder)
    assert json.loads(copy.read_text()) == result
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
    # Any pass through the network would fail now.
    monkeypatch.setattr("sparsecert.smoothing.sampled.SmoothedClassifier.tally", None)
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


def test_votes_counted_without_rankings_serve_the_other_rules(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("certify", folder, "--limit", 10, *SMALL)
    for path in RunFolder(folder).tallies_path.glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns("head_to_head"), path)
    run("certify", folder, "--limit", 10, *SMALL, "--rule", "margin")
    assert "count again" in fails(
        capsys, "certify", folder, "--limit", 10, *SMALL, "--rule", "pairwise"
    )
    run("report", folder)
    page = RunFolder(folder).report_path.read_text()
    assert ("margin rule" in page, "pairwise rule" in page) == (True, False)


def test_counting_in_pieces_gives_the_same_result(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    run("certify", folder, *SMALL)
    for limit in (7, 100, 450):
        run("certify", other, "--limit", limit, *SMALL)
    run("certify", other, *SMALL)
    assert comparable(other) == comparable(folder)


def test_killed_certification_resumes_to_the_same_table(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    words = ["certify", "--num-selection", "100", "--num-samples", "1000"]
    often = (
        "import sparsecert.procedures.sampled as w; "
        "w._FLUSH_SECONDS = 0; w._BALLOTS_PER_GROUP = 1000"
    )
    script = f"{often}; from sparsecert.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words, str(folder)], stderr=subprocess.DEVNULL
    )
    tallies = RunFolder(folder).tallies_path
    deadline = time.monotonic() + 120
    while len(list(tallies.glob("estimation-*.parquet"))) < 5:
        assert process.poll() is None, "certification ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "record.json").exists()
    before = estimation_seconds(tallies)
    assert 5 <= len(before) < 450
    subprocess.run([*COMMAND, *words, str(folder)], check=True, capture_output=True)
    subprocess.run([*COMMAND, *words, str(other)], check=True, capture_output=True)
    assert comparable(folder) == comparable(other)
    # What was counted before the kill was kept: a second count would take another time.
    after = estimation_seconds(tallies)
    assert before.items() <= after.items()
    assert len(after) == 450


def estimation_seconds(tallies: Path) -> dict[int, float]:
    tables = [pq.read_table(path) for path in tallies.glob("estimation-*.parquet")]
    return {
        index: seconds
        for table in tables
        for index, seconds in zip(
            table["index"].to_pylist(), table["seconds"].to_pylist(), strict=True
        )
    }


def test_predict_report_and_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("predict", folder, "--limit", 30, "--num-samples", 200, "--show", 3)
    assert "classification accuracy" in capsys.readouterr().out
    words = ["--limit", 30, "--num-samples", 200, "--rule", "pairwise"]
    run("predict", folder, *words)
    assert "pairwise rule" in capsys.readouterr().out
    run("certify", folder, "--limit", 30, *SMALL)
    run("report", folder)
    page = RunFolder(folder).report_path.read_text()
    assert "pairwise rule" in page
    assert page.count("<svg") == 3
    assert page.count("data:image/png;base64,") == 8 * 5
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('xlink:href="http', "")
    run("info", folder)
    output = capsys.readouterr().out
    assert "k = 12 of 64" in output
    assert "finished" in output


def test_vectors_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run"
    run("train", "--data", "breast-cancer", "--retained", 5, "--epochs", 20, "--out", path)
    run("certify", path, *SMALL)
    assert "(features)" in capsys.readouterr().out
    # A table with another range of its own is scaled as the training data was.
    own, scaled = data.load("breast-cancer", "test"), RunFolder(path).read_config().feature_range
    assert scaled is not None
    raw = own.inputs * (np.array(scaled.high) - scaled.low) + scaled.low
    table = tmp_path / "table.npz"
    np.savez(table, x_train=raw[:5], y_train=own.labels[:5], x_test=raw, y_test=own.labels)
    again = data.load(str(table), "test", scaled)
    np.testing.assert_allclose(again.inputs, own.inputs, atol=1e-6)
    assert "expected the classes malignant, benign" in fails(
        capsys, "certify", path, "--data", table
    )
    run("report", path)
    assert "features" in RunFolder(path).report_path.read_text()
    assert record(path)["accuracy"] > 0.8


def test_mean_encoding_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "run"
    words = ["--data", "digits", "--retained", 12, "--encoding", "mean", "--epochs", 10]
    run("train", *words, "--batch-size", 100, "--out", path)
    config = RunFolder(path).read_config()
    assert config.recipe.batch_size == 100
    assert config.encoding_mean is not None
    assert config.encoding_mean[0] == pytest.approx(0.305, abs=0.01)
    run("certify", path, "--limit", 50, *SMALL)
    assert record(path)["encoding"] == "mean"
    assert "--batch-size 100" in record(path)["command"]


def test_a_run_goes_on_for_a_radius(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "--data", "digits", "--retained", 12, "--out", tmp_path / "run")
    radius = ("--recipe", "radius", "--start", trained)
    assert "expected a radius from 0 to 3" in fails(capsys, *train, *radius)
    assert "a trained run to start from" in fails(capsys, *train, *radius[:2], "--radius", 1)
    run(*train, *radius, "--radius", 1, "--epochs", 1)
    run("certify", tmp_path / "run", "--limit", 5, "--rule", "pairwise", *SMALL)
    values = record(tmp_path / "run")
    assert (values["recipe"], values["radius_trained_for"], values["epochs"]) == ("radius", 1, 16)


def test_too_few_samples_warn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--num-selection", 2, "--num-samples", 3]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run("certify", folder, "--limit", 5, *words)
    error = " ".join(capsys.readouterr().err.split())
    assert "warning: 3 samples cannot certify anything at alpha = 0.05" in error


def test_bad_input_ends_in_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "--data", "digits", "--out", tmp_path / "new")
    assert "between 1 and num_features" in fails(capsys, *train, "--retained", 65)
    assert "between 1 and num_features" in fails(capsys, *train, "--retained", 0)
    assert "seed" in fails(capsys, *train, "--retained", 5, "--seed", -1)
    assert not (tmp_path / "new").exists()
    assert "expected --retained for the design uniform" in fails(capsys, *train)
    lee = ("--design", "lee2019", "--keep-probability", 0.8)
    for wrong in (
        (),
        ("--num-values", 2, "--retained", 5),
        ("--num-values", 2, "--encoding", "mean"),
    ):
        assert "--keep-probability and --num-values" in fails(capsys, *train, *lee, *wrong)
    assert "above 1 / num_values" in fails(
        capsys, *train, *lee[:2], "--keep-probability", 0.5, "--num-values", 2
    )
    with pytest.MonkeyPatch.context() as patch:
        # Before anything is counted, which would fail now.
        patch.setattr("sparsecert.smoothing.sampled.SmoothedClassifier.tally", None)
        assert "alpha" in fails(capsys, "certify", folder, "--alpha", 1)
        assert "alpha" in fails(capsys, "predict", folder, "--alpha", 1)
        tsv = tmp_path / "file" / "votes.tsv"
        tsv.parent.touch()
        assert "choose another" in fails(capsys, "certify", folder, "--tsv", tsv)
    assert "num_samples" in fails(capsys, "certify", folder, "--num-samples", 0)
    assert "limit" in fails(capsys, "certify", folder, "--limit", 0)
    assert "not a run folder" in fails(capsys, "certify", tmp_path)
    assert "not a run folder" in fails(capsys, "info", tmp_path / "nowhere")
    assert "has not been certified" in fails(capsys, "report", folder)
    assert "inputs of shape (1, 8, 8)" in fails(
        capsys, "certify", folder, "--data", "breast-cancer"
    )
    inside = tmp_path / "file" / "run"
    assert "choose another" in fails(
        capsys, "train", "--data", "digits", "--retained", 12, "--out", inside
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system nobody can write to")
def test_a_read_only_output_folder_gets_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in ("/proc/sparsecert", "/sys/sparsecert"):
        assert "cannot create the folder" in fails(
            capsys, "train", "--data", "digits", "--retained", 12, "--out", out
        )
    assert "cannot" in fails(
        capsys, "certify", folder, "--limit", 2, *SMALL, "--tsv", "/proc/votes.tsv"
    )


def test_tallies_of_another_model_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("certify", folder, "--limit", 5, *SMALL)
    other = tmp_path / "other"
    words = ["--retained", 12, "--epochs", 1, "--out", other]
    run("train", "--data", "digits", *words)
    shutil.copytree(RunFolder(folder).tallies_path, RunFolder(other).tallies_path)
    assert "another model" in fails(capsys, "certify", other, "--limit", 5, *SMALL)
    part = next(RunFolder(folder).tallies_path.glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-7])
    assert "truncated" in fails(capsys, "certify", folder, "--limit", 5, *SMALL)
