"""A partition through every command, as a random ablation goes through them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparsecert as sc
from sparsecert import cli, data
from sparsecert.errors import RunFolderError
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.ballots import Ballots, BallotStore, ranks_of
from sparsecert.votes.store import Stored, VoteSettings


def run(*words: object) -> None:
    cli.main([str(word) for word in words])


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def record(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((path / "record.json").read_text())
    return values


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "partition"
    words = ["--sets", 12, "--copies", 3, "--layout", "stratified", "--width", 32, "--epochs", 12]
    run("train", "--data", "digits", "--design", "partition", *words, "--out", path)
    return path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_certify_stores_ballots_that_answer_every_rule(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("certify", folder, "--rule", "pairwise", "--tsv", tmp_path / "votes.tsv")
    assert "pairwise rule, alpha = 0.0" in " ".join(capsys.readouterr().out.split())
    pairwise = record(folder)
    assert pairwise["design"] == "partition"
    assert (pairwise["num_sets"], pairwise["copies"], pairwise["layout"]) == (12, 3, "stratified")
    assert (pairwise["num_samples"], pairwise["alpha"], pairwise["abstained"]) == (36, 0, 0)
    assert pairwise["median_certified_robustness"] >= 1
    lines = (tmp_path / "votes.tsv").read_text().splitlines()
    assert len(lines) == 451

    (part,) = RunFolder(folder).tallies_path.glob("*.parquet")
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


def test_counting_in_pieces_gives_the_same_ballots(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    run("certify", folder)
    for limit in (7, 100, None):
        run("certify", other, *([] if limit is None else ["--limit", limit]))
    skipped = ("command", "seconds")
    assert {k: v for k, v in record(folder).items() if k not in skipped} == {
        k: v for k, v in record(other).items() if k not in skipped
    }


def test_predict_report_and_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("predict", folder, "--limit", 40, "--rule", "run-off")
    assert "run-off rule" in capsys.readouterr().out
    run("certify", folder, "--limit", 40, "--rule", "run-off", "--bound", "exact")
    exact = record(folder)
    assert exact["bound"] == "exact"
    assert "--bound exact" in exact["command"]
    run("report", folder)
    page = RunFolder(folder).report_path.read_text()
    assert "holds with certainty" in page
    for rule in ("plurality", "run-off", "pairwise"):
        assert f"{rule} rule" in page
    run("info", folder)
    assert "3 times 12 stratified sets of 64" in " ".join(capsys.readouterr().out.split())
    run("certify", folder, "--limit", 40, "--rule", "run-off")
    pairs = zip(exact["certified_accuracy"], record(folder)["certified_accuracy"], strict=False)
    assert all(share >= by_sum for share, by_sum in pairs)


@pytest.mark.parametrize(("attack", "rule"), [("sigma-zero", "pairwise"), ("pointwise", "run-off")])
def test_no_attack_succeeds_within_a_radius(folder: Path, attack: str, rule: str) -> None:
    words = ["--attack", attack, "--rule", rule, "--limit", 12]
    words += ["--steps", 60] if attack == "sigma-zero" else ["--repetitions", 3]
    run("attack", folder, *words)  # before anything was certified
    run("certify", folder, "--limit", 40)
    run("attack", folder, *words)
    result = json.loads((folder / "attacks" / f"{attack}-{rule}.json").read_text())
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
    run("report", folder)
    assert f"{attack}" in RunFolder(folder).report_path.read_text()


def test_the_recorded_command_repeats_the_training(folder: Path, tmp_path: Path) -> None:
    run("certify", folder, "--limit", 20)
    train, _ = record(folder)["command"].split(" && ")
    words = train.split()[1:]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    run(*words)
    again = RunFolder(tmp_path / "again")
    assert again.fingerprint() == RunFolder(folder).fingerprint()


def test_one_network_for_all_sets(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    words = ["--design", "partition", "--sets", 5, "--layout", "random", "--copies", 4]
    run("train", "--data", "digits", *words, "--model", "mlp", "--epochs", 20, "--out", path)
    run("certify", path, "--rule", "pairwise")
    assert record(path)["architecture"] == "mlp"
    assert record(path)["accuracy"] > 0.85
    assert RunFolder(path).read_config().width is None


def test_what_does_not_fit_gets_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ("train", "--data", "digits", "--out", tmp_path / "new")
    partition = (*new, "--design", "partition")
    assert "expected --sets" in fails(capsys, *partition)
    assert "--retained is for another" in fails(capsys, *partition, "--sets", 4, "--retained", 5)
    assert "--sets is for another" in fails(capsys, *new, "--retained", 5, "--sets", 4)
    assert "num_sets between 1" in fails(capsys, *partition, "--sets", 65)
    assert "a width for a subset ensemble" in fails(
        capsys, *partition, "--sets", 4, "--model", "mlp", "--width", 8
    )
    assert "design partition for a subset ensemble" in fails(
        capsys, *new, "--retained", 5, "--model", "subset-ensemble"
    )
    assert not (tmp_path / "new").exists()
    assert "rules plurality, run-off, pairwise" in fails(
        capsys, "certify", folder, "--rule", "majority"
    )
    assert "rules plurality, run-off, pairwise" in fails(
        capsys, "attack", folder, "--rule", "margin"
    )
    # The width is that of the run to start from, else that would be the sentence.
    assert "to start from with the same sets" in fails(
        capsys, *partition, "--sets", 5, "--start", folder
    )


def test_ranks_follow_the_scores() -> None:
    scores = np.array([[[0.5, 2.0, 0.5], [1.0, 1.0, 1.0]]])
    assert ranks_of(scores).tolist() == [[[1, 0, 2], [0, 1, 2]]]


def test_ballots_are_kept_and_checked(tmp_path: Path) -> None:
    ranks = ranks_of(np.random.default_rng(0).random((6, 4, 3)))
    store, settings = BallotStore(tmp_path, 4, 3), VoteSettings("model", "data")
    for rows in (np.array([3, 5]), np.array([0, 3])):  # image 3 twice
        store.append(settings, [Stored(rows, np.ones(2), Ballots(ranks[rows]))])
    stored = store.read(settings)
    assert stored.indices.tolist() == [0, 3, 5]
    assert (stored.votes.ranks == ranks[[0, 3, 5]]).all()
    store.compact(settings)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    assert (store.read(settings).votes.ranks == stored.votes.ranks).all()
    assert len(store.read(VoteSettings("model", "other data")).indices) == 0
    with pytest.raises(RunFolderError, match="another model"):
        store.read(VoteSettings("another", "data"))
    broken = ranks.copy()
    broken[0, 0] = 0
    store.append(settings, [Stored(np.arange(6), np.ones(6), Ballots(broken))])
    with pytest.raises(RunFolderError, match="rank 3 classes"):
        store.read(settings)
