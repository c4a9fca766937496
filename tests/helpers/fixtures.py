"""Fixtures of all tests: trained runs to copy, and commands that end in a sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import datasets
import jaxtyping
import pytest
from filelock import FileLock

from tests.helpers.commands import Fails, Output, run, train
from tests.helpers.site import build


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users have no type checker at run time; where ours would get there first, switch it off."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of data are read into a cache of the test's own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    """What was printed since the last call, whatever the width of the terminal."""
    return lambda: " ".join(capsys.readouterr().out.split())


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command that must end with this in its sentence, and return all of the sentence."""

    def fails(sentence: str, *words: object, status: int = 2) -> str:
        with pytest.raises(SystemExit) as end:
            run(*words)
        assert end.value.code == status
        error = " ".join(capsys.readouterr().err.split())
        assert "Traceback" not in error
        assert sentence in error
        return error

    return fails


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits, 12 of 64 pixels retained; not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    return train(path, "--retained", 12, "--epochs", 15)


@pytest.fixture(scope="session")
def family_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits with a partition, 3 times 12 stratified sets; not to be changed."""
    words = ["--sets", 12, "--copies", 3, "--layout", "stratified", "--width", 32]
    path = tmp_path_factory.mktemp("runs") / "partition"
    return train(path, "--design", "partition", *words, "--epochs", 12)


@pytest.fixture(scope="session")
def rows_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table of 30 columns, 8 of them retained; not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "rows"
    run("train", "--data", "breast-cancer", "--retained", 8, "--epochs", 10, "--out", path)
    return path


@pytest.fixture
def folder(digits_run: Path, tmp_path: Path) -> Path:
    """A copy of the run on digits, with nothing counted yet."""
    return Path(shutil.copytree(digits_run, tmp_path / "run"))


@pytest.fixture
def family_folder(family_run: Path, tmp_path: Path) -> Path:
    """A copy of the run with a partition, with nothing counted yet."""
    return Path(shutil.copytree(family_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The docs site, built once, whichever worker comes first."""
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason=f"there is no {package}: install the extra docs")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "site.lock"):
        if not (folder / "site").exists():
            build(folder / "site")
    return folder / "site"
