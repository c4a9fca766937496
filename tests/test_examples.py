"""The example and the snippets of the documentation run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_own_model_example_certifies() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "own_model.py"],
        check=True,
        capture_output=True,
        text=True,
    )
    median, share = re.findall(r": ([\d.]+)", done.stdout)
    assert int(median) >= 1
    assert float(share) > 0.5


def test_readme_snippets() -> None:
    """Run the README's Python with a model and images of the right shape."""
    import numpy as np
    import torch

    import sparsecert as sc

    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 784, 10))
    names = {
        "sc": sc,
        "model": model,
        "images": torch.rand(2, 1, 28, 28),
        "counts": np.array([[9_500, 500]]),
        "label": [0],
    }
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, names)
    assert names["certificate"].radius.shape == (2,)  # type: ignore[attr-defined]


def test_snippets_about_partitions() -> None:
    import torch
    from sklearn.datasets import load_breast_cancer

    page = (ROOT / "docs" / "partitions.md").read_text()
    x, y = load_breast_cancer(return_X_y=True)
    names = {"X": x, "y": y, "images": torch.rand(2, 1, 28, 28)}
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, names)
    assert names["certificate"].radius.shape == (2,)


def test_fixed_families_snippet() -> None:
    page = (ROOT / "docs" / "theory" / "fixed-families.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(snippet, names)
    assert names["certificate"].alpha == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "page",
    sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md"), *ROOT.glob("docs/theory/*.md")]),
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
