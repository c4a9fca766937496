"""The example and the snippets of the documentation run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_breast_cancer

import sparsecert as sc
from sparsecert import data
from sparsecert.cli import app
from tests.helpers.commands import SMALL, printed_by, record, report, run
from tests.helpers.hub import cached

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("example", "least"),
    [
        ("own_model", 0.5),
        ("art_estimator", 0.4),
        pytest.param("lightning_loop", 0.3, marks=pytest.mark.slow),
        pytest.param("transformers_trainer", 0.2, marks=pytest.mark.slow),
    ],
)
def test_examples_certify(example: str, least: float) -> None:
    printed = printed_by(ROOT / "examples" / f"{example}.py")
    found = re.search(r"certified accuracy at 1: ([\d.]+)", printed)
    assert found is not None
    assert float(found[1]) > least


def test_scripts_for_other_radii_get_their_table() -> None:
    header, *lines = printed_by(ROOT / "examples" / "cohen_certify.py").splitlines()
    assert header.split("\t") == ["idx", "label", "predict", "radius", "correct", "time"]
    table = [line.split("\t") for line in lines]
    assert [int(row[0]) for row in table] == list(range(10))
    assert all(float(row[3]) == 0 for row in table if int(row[2]) == sc.ABSTAIN)
    assert any(int(row[4]) and float(row[3]) >= 1 for row in table)


def test_table_example_certifies() -> None:
    printed = printed_by(ROOT / "examples" / "table.py")
    shares = [float(share) for share in re.findall(r"change it: ([\d.]+)", printed)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.9
    assert shares[2] > 0.6


def test_mixed_table_is_certified_by_the_names_of_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = printed_by(ROOT / "examples" / "mixed_table.py", "table")
    train, certify = (shlex.split(line)[1:] for line in printed.splitlines())
    run(*train, "--epochs", 3)
    run(*certify, "--limit", 100, *SMALL)
    folder = Path(train[-1])
    found = record(folder)
    assert found["num_features"] == 9  # ten fields, of which nobody can change the age
    assert found["accuracy"] > 0.7
    assert found["certified_accuracy"][1] > 0.3
    page = report(folder)
    assert "housing owns" in page
    assert "median certified robustness (groups)" in page


def test_poisoning_example_certifies() -> None:
    printed = printed_by(ROOT / "examples" / "poisoning.py")
    found = re.findall(r"accuracy ([\d.]+), median certified training samples: (\d+)", printed)
    assert len(found) == 2
    assert all(float(accuracy) > 0.85 and int(median) >= 8 for accuracy, median in found)


def ran(page: str, names: dict[str, Any]) -> int:
    """Run a page's snippets one after the other with these names; returns their number."""
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    for snippet in snippets:
        exec(snippet, names)
    return len(snippets)


def test_readme_snippets() -> None:
    """Run the README's Python with a model and images of the right shape."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 784, 10))
    names: dict[str, Any] = {
        "sc": sc,
        "model": model,
        "images": torch.rand(2, 1, 28, 28),
    }
    assert ran("README.md", names) == 1
    assert names["certificate"].radius.shape == (2,)


def test_snippets_about_classifiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of the table, with the library it is about.

    In a process of its own, as others must not be forked once JAX has started its threads.
    """
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/classifiers.md").read_text()
    start, *builds, whole = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    given = """
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import minmax_scale

x, y = load_breast_cancer(return_X_y=True)
x = torch.from_numpy(minmax_scale(x)).float().clamp(0, 1)
"""
    certifies = "print(smoothed.certify(x[:2], 20, 100).label.shape)\n"
    script = tmp_path / "script.py"
    script.write_text(given + start + "".join(build + certifies for build in builds) + whole)
    assert printed_by(script).splitlines().count("(2,)") == len(builds) == 8


def test_snippet_about_units() -> None:
    names: dict[str, Any] = {}
    assert ran("docs/units.md", names) == 1
    assert names["ablation"].num_entries == 784
    assert names["table"].owner.tolist() == [0, 0, 0, 1, -1]


def test_snippets_about_partitions() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    names = {"X": x, "y": y, "images": torch.rand(2, 1, 28, 28)}
    assert ran("docs/partitions.md", names) == 2
    assert names["certificate"].radius.shape == (2,)


def test_snippets_about_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    bins = (x.iloc[:, :4] > x.iloc[:, :4].median()).astype(str)
    names: dict[str, Any] = {"sc": sc, "X": x[::4], "y": y[::4], "table": bins[::4]}
    monkeypatch.chdir(tmp_path)
    assert ran("docs/tables.md", names) == 3
    assert (tmp_path / "certified.png").exists()
    assert names["model"].family_.num_features == 4
    names["search"].set_params(param_grid={"num_sets": [10]}, estimator__epochs=2, cv=2)
    assert names["search"].fit(x, y).best_score_ > 0.5


def test_snippet_about_threats() -> None:
    names: dict[str, Any] = {}
    assert ran("docs/threats.md", names) == 1
    assert names["certificate"].threat.name_of(2) == "5x5"


def test_fixed_families_snippet() -> None:
    names: dict[str, Any] = {}
    assert ran("docs/theory/fixed-families.md", names) == 1
    assert names["certificate"].alpha == 0


def test_snippets_about_ones_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert ran("docs/own-model.md", names) == 8
    assert names["largest"] == 3
    assert sc.certified_accuracy(names["certificate"].radius, names["correct"], 1) > 0.6
    wide = names["with_twice_the_channels"](torch.nn.Conv2d(3, 4, 3, padding=1))
    x = torch.rand(1, 3, 8, 8)
    assert wide(torch.cat((x, 1 - x), dim=1)).shape == (1, 4, 8, 8)
    assert {"model.pt", "certified.png"} <= {path.name for path in tmp_path.iterdir()}


def test_snippet_about_images(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "photos").symlink_to(digits_run)
    (tmp_path / "new").mkdir()
    for name in ("one.jpg", "two.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / "new" / name)
    names: dict[str, Any] = {}
    assert ran("docs/images-in-a-folder.md", names) == 1
    assert names["certificate"].label.shape == (2,)


def test_snippet_about_attacks(digits_run: Path) -> None:
    digits = data.load("digits", "test")
    smoothed = sc.load(digits_run)
    names: dict[str, Any] = {"smoothed": smoothed, "images": digits.batch([0])}
    names["labels"] = digits.labels[:1]
    assert ran("docs/attacks.md", names) == 1
    assert names["result"].adversarial.shape == (1, 1, 8, 8)


def test_snippet_about_sharing(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path, "user/mnist-k45", digits_run, "v2")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    names: dict[str, Any] = {"sc": sc}
    assert ran("docs/sharing.md", names) == 1
    assert names["smoothed"].num_classes == 10


def test_snippets_that_only_count() -> None:
    names: dict[str, Any] = {}
    assert ran("docs/choosing.md", names) == 1
    assert names["ceiling"] == 11
    assert ran("docs/reproduce.md", names) == 1
    assert names["certificate"].radius.tolist() == [2, 1]
    assert ran("docs/runs.md", names) == 1
    assert names["certificate"].alpha == 0.001


PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern))


def test_every_page_with_snippets_is_run_above() -> None:
    with_snippets = [page for page in PAGES if "```python" in page.read_text()]
    names = [page.relative_to(ROOT).as_posix() for page in with_snippets]
    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in Path(__file__).read_text()] == []


def shell_commands(text: str) -> list[str]:
    """Lines of indented and fenced blocks that begin with `sparsecert`, continued ones joined."""
    joined = text.replace("\\\n", " ")
    indented = re.findall(r"^ {4,}(sparsecert .+)$", joined, re.MULTILINE)
    fenced = "".join(re.findall(r"^```(?:sh|bash)\n(.*?)^```", joined, re.DOTALL | re.MULTILINE))
    return indented + re.findall(r"^(sparsecert .+)$", fenced, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_the_docs_are_commands(page: Path) -> None:
    for line in shell_commands(page.read_text()):
        words = shlex.split(line, comments=True)[1:]
        app.parse_args(words, print_error=False, exit_on_error=False)


@pytest.mark.parametrize(
    "page",
    sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md"), *ROOT.glob("docs/theory/*.md")]),
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
