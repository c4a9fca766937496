"""The paper's tables, with digits in the place of MNIST."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparsecert import data
from sparsecert.attacks import AttackPlan, Probe
from sparsecert.errors import InputError, RunFolderError
from sparsecert.reproduce import experiment, figures, overview
from sparsecert.reproduce.baselines import Binarised, baseline_target
from sparsecert.reproduce.experiment import Options
from sparsecert.reproduce.paper import AttackedRow, BaseRow, CertifiedRow, PaperTable
from sparsecert.reproduce.tables import TABLES
from tests.helpers.commands import Fails, Output, read_json, report, run
from tests.helpers.internals import no_network

K16: dict[str, Any] = {"label": "k = 16", "dataset": "digits", "settings": {"num_retained": 16}}
FEW: dict[str, Any] = {"median": 1, "num_selection": 30, "num_samples": 150}
DIGITS = PaperTable(
    "table9",
    "digits",
    (
        CertifiedRow(label="k = 8", dataset="digits", settings={"num_retained": 8}, median=None),
        CertifiedRow(**K16, accuracy=60.25, abstained=1.5, **FEW),
        CertifiedRow(
            label="noise",
            dataset="digits",
            settings={"keep_probability": 0.8, "num_values": 17},
            design="lee2019",
            encoding="none",
            median=1,
            num_selection=20,
            num_samples=100,
        ),
    ),
    notes="Made up.",
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "table9", DIGITS)


def words_for(folder: Path, *words: object) -> tuple[object, ...]:
    places = ["--out", folder / "runs", "--results", folder / "results", "--recipe", "fast"]
    return ("reproduce", *words, *places)


def reproduce(folder: Path, *words: object) -> dict[str, dict[str, Any]]:
    """Returns the records, by name."""
    run(*words_for(folder, *words))
    results = folder / "results"
    return {path.name: read_json(path) for path in results.glob("*.json")}


def overview_page(folder: Path) -> str:
    return (folder / "results" / "README.md").read_text()


@pytest.mark.usefixtures("table")
def test_a_row_is_trained_certified_recorded_and_compared(tmp_path: Path, output: Output) -> None:
    narrow = ["table9", "--retained", 16, "--limit", 30, "--epochs", 3]
    records = reproduce(tmp_path, *narrow)
    assert "60.25 %" in output()
    name = "table9-digits-k16-two-channel-default-fast3-n30.json"
    assert list(records) == [name]
    record = records[name]
    assert record["num_images"] == 30
    assert record["epochs"] == 3
    assert (record["num_selection"], record["num_samples"]) == (30, 150)
    page = overview_page(tmp_path)
    assert "## Table 9: digits\n\nMade up." in page
    assert "| **k = 16** | paper |  | 60.25 % | 1.50 % | 1 |" in page
    assert f"{100 * record['accuracy']:.1f} % [" in page
    assert record["command"].split(" && ")[0] in page
    assert "k = 8" not in page  # nothing to say about it yet
    assert "Beyond the paper" not in page
    (folder,) = (tmp_path / "runs").iterdir()
    page = report(folder)
    assert "Beside the paper" in page
    assert "Table 9, k = 16" in page
    assert "60.25 %" in page

    model = folder / "model.safetensors"
    written = model.stat().st_mtime_ns
    again = reproduce(tmp_path, *narrow)  # a second call trains and counts nothing
    assert model.stat().st_mtime_ns == written
    assert again[name]["seconds"] == record["seconds"]


@pytest.mark.usefixtures("table")
def test_the_compared_scheme_is_trained_certified_and_reported(
    tmp_path: Path, fails: Fails
) -> None:
    TABLES["table9"] = PaperTable("table9", "digits", DIGITS.rows[2:])
    (record,) = reproduce(tmp_path, "table9", "--limit", 20, "--epochs", 2).values()
    assert record["design"] == "lee2019"
    assert record["keep_probability"] == 0.8
    assert record["num_features"] == 64
    assert "--keep-probability 0.8 --num-values 17" in record["command"]
    (folder,) = (tmp_path / "runs").iterdir()
    page = report(folder)
    assert "margin rule" not in page
    assert "Δ(d, k, rho)" not in page
    run("info", folder)
    fails("", "certify", folder, "--rule", "margin")


def test_base_classifiers_are_measured_on_both_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = BaseRow(**K16, train=91.5, test=81.25)
    monkeypatch.setitem(TABLES, "table9", PaperTable("table9", "bases", (row,)))
    (record,) = reproduce(tmp_path, "table9", "--epochs", 30).values()
    assert 0.5 < record["test_accuracy"] < 1
    assert 0.5 < record["train_accuracy"] < 1
    low, high = record["intervals"]["test_accuracy"]
    assert low < record["test_accuracy"] < high
    page = overview_page(tmp_path)
    assert "| paper |  | 91.50 % | 81.25 % |" in page
    assert f"{100 * record['train_accuracy']:.1f} % [" in page


@pytest.mark.parametrize(
    "small",
    [
        PaperTable("table9", "in shards", (CertifiedRow(**K16, **FEW),)),
        PaperTable("table9", "in shards", (BaseRow(**K16, train=91.5, test=81.25),)),
    ],
)
def test_shards_of_a_row_are_merged(
    small: PaperTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, "table9", small)
    words = ["table9", "--epochs", 2, "--limit"]
    reproduce(tmp_path, *words, 1)
    for shard in ("1/2", "2/2"):
        assert len(reproduce(tmp_path, *words, 20, "--shard", shard)) == 1
    (folder,) = (tmp_path / "runs").iterdir()
    run("merge", *(folder / "shards").iterdir(), "--into", folder)
    with monkeypatch.context() as patch:
        no_network(patch)
        merged = reproduce(tmp_path, *words, 20)
    for votes in (folder / "tallies").iterdir():
        votes.unlink()
    whole = reproduce(tmp_path, *words, 20)
    assert len(whole) == 2
    for name, record in whole.items():
        assert {**record, "seconds": 0} == {**merged[name], "seconds": 0}


ATTACKED = PaperTable(
    "table9",
    "attacked digits",
    (
        *(
            AttackedRow(
                label=name, dataset="digits", settings={}, classifier=name, accuracy=99, median=9.5
            )
            for name in ("cnn", "binarised-cnn", "nearest-neighbour", "linf-cnn")
        ),
        AttackedRow(**K16, accuracy=96.5, median=31),
    ),
)


def test_classifiers_are_attacked_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: Output, fails: Fails
) -> None:
    probe = Probe(num_samples=300)
    plan = AttackPlan("pointwise", repetitions=2, probe=probe)
    monkeypatch.setitem(TABLES, "table9", ATTACKED)
    monkeypatch.setattr(experiment, "PLAN", plan)
    monkeypatch.setattr(figures, "PLAN", plan)
    monkeypatch.setattr(figures, "_FIGURE3", 2)
    narrow = ["--limit", 6, "--epochs", 12]
    records = reproduce(tmp_path, "table9", *narrow)
    assert "31" in output()
    assert len(records) == 5
    assert "table9-digits-linf-cnn-12-n6.json" in records
    for record in records.values():
        assert record["attack"] == "pointwise"
        assert record["num_images"] == 6
        assert record["accuracy"] > 0.6
        if record["classifier"] == "smoothed":
            assert record["attempts_within_certificate"] > 0
            # 300 ballots abstain on leads that 10 000 certify.
            assert record["misclassified_within_certificate"] == []
            assert record["ballots"]["drawn"] > 0
        else:
            assert record["test_accuracy"] > 0.7
            assert f"--classifier {record['classifier']} --limit 6" in record["command"]
            assert record["median_attack_magnitude"] >= 1
    page = overview_page(tmp_path)
    assert "## Table 9: attacked digits" in page
    assert "| **nearest-neighbour** | paper | pointwise |  | 99.0 % | 9.5 |" in page
    assert "; attack " in page
    monkeypatch.setitem(TABLES, "table2", ATTACKED)
    reproduce(tmp_path, "figure3", "--retained", 16, *narrow)
    reproduce(tmp_path, "figure5", "--retained", 16, *narrow)
    few = ["figure5", "--retained", 16, "--limit", 2, "--epochs", 12]
    fails("expected more than 2 images that the attack fools", *words_for(tmp_path, *few))
    for name in ("figure3", "figure5"):
        assert (tmp_path / "results" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_baselines_are_what_their_names_say(tmp_path: Path) -> None:
    def target(name: str, epochs: int = 15) -> Any:
        return baseline_target(name, "digits", tmp_path / name, epochs, show_progress=False)

    test = data.load("digits", "test")
    x, labels = test.batch(range(100)), torch.from_numpy(test.labels[:100])
    train = data.load("digits", "train")
    distance = torch.cdist(x.flatten(1), train.batch(range(len(train))).flatten(1))
    nearest = train.labels[distance.argmin(dim=1).numpy()]
    assert (target("nearest-neighbour").load().predict(x) == nearest).all()

    binarised = target("binarised-cnn").load()
    assert isinstance(binarised.model, Binarised)
    assert (binarised.predict(x) == binarised.predict((x > 0.5).float())).all()

    def share_robust(victim: Any) -> float:
        """Against one step of 0.15 along the sign of the gradient."""
        moving = x.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(victim.logits(moving), labels)
        (gradient,) = torch.autograd.grad(loss, moving)
        moved = (x + 0.15 * gradient.sign()).clamp(0, 1)
        return float((victim.predict(moved) == labels.numpy()).mean())

    plain, robust = target("cnn"), target("linf-cnn")
    assert share_robust(robust.load()) > share_robust(plain.load()) + 0.2
    again = target("cnn")
    assert again.fingerprint == plain.fingerprint != robust.fingerprint
    with pytest.raises(RunFolderError, match="holds another baseline"):
        target("cnn", epochs=2)
    (tmp_path / "cnn" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunFolderError, match=r"cnn is damaged .* remove it"):
        target("cnn")


@pytest.mark.parametrize("matters", [True, False])
def test_another_network_on_as_many_images_as_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matters: bool
) -> None:
    row = CertifiedRow(**K16, architecture="resnet18", architecture_matters=matters, **FEW)
    monkeypatch.setitem(TABLES, "table9", PaperTable("table9", "d", (row,), limit=25))
    records = reproduce(tmp_path, "table9", "--epochs", 1, "--model", "mlp")
    ((name, record),) = records.items()
    assert name == "table9-digits-k16-two-channel-mlp-fast1-n25.json"
    assert (record["architecture"], record["num_images"]) == ("mlp", 25)
    page = overview_page(tmp_path)
    assert ("Beyond the paper" in page) == matters
    assert ("## Table 9" in page) != matters
    assert "mlp, fast, 1 epochs" in page
    from_radius = {"command": f"sparsecert train --radius 3 && {record['command']}"}
    (tmp_path / "results" / name).write_text(json.dumps(record | from_radius))
    reproduce(tmp_path, "overview")
    assert "mlp, fast after radius 3, 1 epochs" in overview_page(tmp_path)


def test_records_match_rows_by_what_was_measured() -> None:
    record = {
        "dataset": "mnist",
        "design": "uniform",
        "num_features": 784,
        "num_retained": 45,
        "encoding": "two-channel",
        "architecture": "paper-cnn",
        "num_selection": 1_000,
        "num_samples": 10_000,
        "alpha": 0.05,
        "rule": "margin",
    }

    def labels(**changes: object) -> list[tuple[str, str]]:
        rows = overview.matching_rows({**record, **changes})
        return [(table.name, row.label) for table, row in rows]

    both = [("table1", "k = 45"), ("table8", "mnist, k = 45, two-channel")]
    assert labels() == both
    assert labels(architecture="interpolating-cnn") == both[:1]
    assert labels(encoding="mean") == [("table8", "mnist, k = 45, mean")]
    assert labels(num_features=196) == []  # patches of 2 x 2
    assert labels(num_retained=46) == labels(alpha=0.01) == labels(dataset="digits") == []
    assert labels(sampling="fixed") == labels(sampling="sequential") == both
    seven = {"num_selection": 100, "num_samples": 100_000, "alpha": 0.001}
    assert labels(**seven) == [("table7", "ablation, k = 45")]
    assert labels(**seven, architecture="mlp") == labels(**seven)


def test_tables_are_the_papers() -> None:
    sizes = {name: len(table.rows) for name, table in TABLES.items()}
    assert sizes == {
        "table1": 20,
        "table2": 7,
        "table3": 6,
        "table4": 6,
        "table5": 6,
        "table6": 3,
        "table7": 2,
        "table8": 4,
    }
    chosen = experiment.chosen_rows(TABLES["table2"], Options(classifiers=("abs", "cnn")))
    assert [row.folder_name for row in chosen] == ["mnist-cnn", "mnist-abs"]
    names = [row.folder_name for row in TABLES["table1"].rows]
    assert len(set(names)) == 20
    rows = TABLES["table1"].rows
    peak = [row.label for row in rows if isinstance(row, CertifiedRow) and row.median == 8]
    assert peak == ["k = 40", "k = 45"]


def test_figures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "table1", DIGITS)
    reproduce(tmp_path, "figure1", "--retained", 16, "--epochs", 1)
    reproduce(tmp_path, "figure2")
    reproduce(tmp_path, "figure4", "--data", "digits", "--retained", 12)
    for name in ("figure1", "figure2", "figure4"):
        assert (tmp_path / "results" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table0"], "expected one of table1"),
        (["table1", "--retained", "46"], "no row of table1 is left"),
        (["table3", "--data", "mnist"], "it has cifar10: k = 25"),
        (["table2", "--classifier", "abs2"], "no row of table2 is left"),
        (["table1", "--limit", "0"], "limit to be at least 1"),
        (["figure4", "--data", "breast-cancer"], "data set of images"),
    ],
)
def test_what_there_is_not_gets_a_sentence(
    tmp_path: Path, fails: Fails, words: list[str], sentence: str
) -> None:
    fails(sentence, *words_for(tmp_path, *words))
    assert set(figures.FIGURES) == {*(f"figure{number}" for number in range(1, 6)), "frontier"}


def test_an_overview_passes_over_records_of_benchmarks(tmp_path: Path) -> None:
    (tmp_path / "benchmark-growth.json").write_text('{"benchmark": "growth"}')
    assert overview.read_results(tmp_path) == {}


def test_an_overview_of_foreign_files_gets_a_sentence(tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "results").mkdir()
    mine, page = (tmp_path / "results" / name for name in ("mine.json", "README.md"))
    mine.write_text('{"a": 1}')
    fails("not a result record", *words_for(tmp_path, "overview"))
    for content in ("[1]", "7", '{"kind": "base_accuracy"}', "{"):
        mine.write_text(content)
        # Before anything is loaded or trained.
        fails("not a result record", *words_for(tmp_path, "table1"))
    mine.unlink()
    page.write_text("# My project")
    fails("was not generated by this command", *words_for(tmp_path, "overview"))
    assert page.read_text() == "# My project"


@pytest.mark.usefixtures("table")
def test_frontier_draws_the_records_of_a_data_set(tmp_path: Path) -> None:
    narrow = ["--retained", 16, "--epochs", 1, "--limit", 20]
    (record,) = reproduce(tmp_path, "table9", *narrow).values()
    reproduce(tmp_path, "frontier", "--data", "digits")
    assert (tmp_path / "results" / "frontier.png").stat().st_size > 0
    options = Options(dataset="digits", results=tmp_path / "results")
    (axes,) = figures.frontier(options).axes
    assert axes.get_legend_handles_labels()[1] == ["the paper", "majority"]
    ((x, y),) = next(
        np.asarray(line.get_xydata()) for line in axes.get_lines() if line.get_marker() == "o"
    )
    assert x == pytest.approx(100 * record["accuracy"])
    assert y == (record["median_certified_robustness"] or 0)


def test_frontier_without_records_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="certify --record"):
        figures.frontier(Options(dataset="digits", results=tmp_path))
