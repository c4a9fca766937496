"""Files of a run with anything changed in them: each use succeeds or ends in a sentence, soon."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sparsecert import data
from sparsecert.errors import InputError
from sparsecert.procedures.run import load, recorded_procedure, run_images
from sparsecert.records.record import read_record
from sparsecert.report import attacks, figures, page, tables
from sparsecert.runs.folder import RunFolder
from sparsecert.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from tests.helpers.commands import PROBE, SMALL, run
from tests.helpers.mutations import Outcomes, mutations_of

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def measured(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was certified and attacked."""
    path = Path(shutil.copytree(digits_run, tmp_path_factory.mktemp("fuzz") / "run"))
    run("certify", path, *SMALL, "--limit", 20)
    run("attack", path, "--attack", "sparse-rs", "--steps", 10, "--limit", 2, *PROBE)
    checkpoint(path / "checkpoint.safetensors", write=True)
    return path


@pytest.fixture(scope="module")
def measured_family(family_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a fixed family, without attacks."""
    path = Path(shutil.copytree(family_run, tmp_path_factory.mktemp("fuzz") / "run"))
    run("certify", path, "--limit", 20)
    return path


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures and pictures take a second and show what was checked before."""
    for name in ("certified_accuracy_curve", "shift_against_rho", "training_curve"):
        monkeypatch.setattr(figures, name, lambda *_: 0)
    monkeypatch.setattr(attacks, "attacks_against_radius", lambda *_: 0)
    for name in ("svg", "picture"):
        monkeypatch.setitem(page._ENVIRONMENT.filters, name, lambda *_: "")

    def no_hub(name: str, *_: object) -> None:
        raise InputError(f"no data set {name}")

    monkeypatch.setattr(data, "load_hub", no_hub)


def checkpoint(path: Path, *, write: bool = False) -> None:
    model = torch.nn.Linear(20, 10)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    if write:
        model(torch.ones(2, 20)).sum().backward()
        optimizer.step()
        save_checkpoint(path, {"model": model}, optimizer, Progress(step=3))
    else:
        load_checkpoint(path, {"model": model}, optimizer)


def report(folder: Path) -> None:
    """What `report` and `info` do, but for figures."""
    run = RunFolder.open(folder)
    page.write_report(run)
    tables.run_rows(run)


def evaluate(folder: Path) -> None:
    """What `certify` does where all votes are stored."""
    run = RunFolder.open(folder)
    load(folder)
    procedure = recorded_procedure(run.config.design, read_record(run))
    procedure.measure(run_images(run, limit=20))


# By the files: what reads them, and the share of the mutations.
USES: dict[str, tuple[Callable[[Path], None], float]] = {
    "config.json": (evaluate, 0.25),
    "tallies/*.parquet": (evaluate, 0.25),
    "record.json": (report, 0.1),
    "attacks/*.json": (report, 0.1),
    "attacks/*.parquet": (report, 0.1),
    "train.jsonl": (report, 0.05),
    "model.safetensors": (evaluate, 0.05),
    "checkpoint.safetensors": (lambda folder: checkpoint(folder / "checkpoint.safetensors"), 0.1),
}
COUNTS = [400, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(3_000)])]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("design", ["uniform", "partition"])
@pytest.mark.parametrize("pattern", USES)
def test_whatever_is_in_a_file_it_ends_soon_and_in_a_sentence(
    pattern: str, design: str, count: int, request: pytest.FixtureRequest
) -> None:
    fixture = "measured" if design == "uniform" else "measured_family"
    folder: Path = request.getfixturevalue(fixture)
    paths = sorted(folder.glob(pattern))
    if not paths:
        pytest.skip("the run has no such file")
    use, share = USES[pattern]
    use(folder)
    outcomes = Outcomes()
    each = max(1, int(count * share / (2 * len(paths))))
    for path in paths:
        for _ in mutations_of(path, each, seed=count):
            outcomes.of(lambda: use(folder))
    use(folder)
    print(f"{pattern} {design}: {vars(outcomes)}, {outcomes.memory:.0f} MiB")
    assert outcomes.refused
    assert outcomes.longest < 2
    assert outcomes.memory < 512
