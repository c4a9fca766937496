"""The example and the snippets of the documentation run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

import sparsecert as sc
from tests.helpers.commands import SMALL, printed_by, record, report, run

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
        "counts": np.array([[9_500, 500]]),
        "label": [0],
    }
    assert ran("README.md", names) == 2
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


@pytest.mark.parametrize(
    "page",
    sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md"), *ROOT.glob("docs/theory/*.md")]),
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
