"""The example and the snippets of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

import sparsecert as sc
from tests.helpers.commands import printed_by

ROOT = Path(__file__).parent.parent


def test_own_model_example_certifies() -> None:
    printed = printed_by(ROOT / "examples" / "own_model.py")
    median, share = re.findall(r": ([\d.]+)", printed)
    assert int(median) >= 1
    assert float(share) > 0.5


def test_table_example_certifies() -> None:
    printed = printed_by(ROOT / "examples" / "table.py")
    shares = [float(share) for share in re.findall(r"change it: ([\d.]+)", printed)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.9
    assert shares[2] > 0.6


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
