"""The wheel in an empty environment, with the oldest and the newest dependencies that are allowed.

Torch is the release that is installed here, as of most others the builds are gigabytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parent.parent.parent
TORCH = f"torch=={version('torch').split('+')[0]}"
COUNTS = """
import numpy as np, sparsecert as sc, sys
certificate = sc.certify_tally(
    np.array([[9_412, 301, 287]]), np.array([0]), sc.UniformAblation(784, 45), alpha=0.001
)
assert certificate.radius.tolist() == [9], certificate.radius
assert "torch" not in sys.modules
"""


def call(*words: object, cwd: Path = ROOT) -> str:
    """Run a program that sees what is installed alone; its output is shown if it fails."""
    command = [str(word) for word in words]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=own)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sparsecert"}
    assert {"sparsecert/py.typed", "sparsecert/report/page.html"} <= set(names)


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_it_installs_and_runs(wheel: Path, tmp_path: Path, resolution: str) -> None:
    pins, torch = tmp_path / "pins.txt", tmp_path / "torch.txt"
    torch.write_text(TORCH)
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    pinned = call(*uv, "pyproject.toml", "--resolution", resolution, "--constraint", torch)
    pins.write_text(pinned)
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    call(programs / "python", "-m", "pip", "install", "--quiet", "--constraint", pins, wheel)
    call(programs / "python", "-W", "error", "-c", COUNTS, cwd=tmp_path)

    def sparsecert(*words: object) -> str:
        return call(programs / "sparsecert", *words, cwd=tmp_path)

    assert "certify" in sparsecert("--help")
    assert "sparsecert" in sparsecert("completion", "bash")
    few = ["--num-selection", 40, "--num-samples", 300, "--limit", 40]
    sparsecert("train", "--data", "digits", "--retained", 12, "--epochs", 5, "--out", "run")
    sparsecert("certify", "run", "--rule", "pairwise", *few)
    sparsecert("certify", "run", "--sampling", "sequential", *few, "--record", "sequential.json")
    sparsecert("report", "run")
    sparsecert("submission", "run", "sequential.json", "--out", "submission")
    assert "verified: submission" in sparsecert("verify", "submission")
    family = ["--design", "partition", "--sets", 8, "--width", 16, "--epochs", 2]
    sparsecert("train", "--data", "breast-cancer", *family, "--out", "family")
    sparsecert("certify", "family")
