"""What is cut off and gone on with ends as what runs through: votes, attacks and training."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import PROBE, SMALL, comparable, kill_when, log, parts, run
from tests.helpers.internals import STORE_AT_ONCE
from tests.helpers.votes import looks_reached, seconds_taken

SEQUENTIAL = ["--num-selection", 40, "--num-samples", 600, "--sampling", "sequential"]
IMAGES = 150


@dataclass(frozen=True)
class Work:
    """A command that takes a while.

    Attributes:
        words: the command, but for the folder, which comes last.
        pieces: what is stored on the way.
        done: by image or epoch, what would differ had it been done a second time.
        begins_with: the fixture with the run folder to copy.
        outcome: the file that it writes when all is done.
        enough: pieces to wait for before the kill.
        total: of what is done, in the end.
        left: of the pieces, in the end.
    """

    words: list[object]
    pieces: Callable[[Path], Sized]
    done: Callable[[Path], dict[Any, Any]]
    begins_with: str | None = "digits_run"
    outcome: str = "record.json"
    enough: int = 5
    total: int = IMAGES
    left: int = 1


def attacks(folder: Path) -> dict[Path, int]:
    """When the attack on each image was stored."""
    paths = (folder / "attacks").glob("[!.]*.parquet")
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in paths}


def epochs(folder: Path) -> dict[int, float]:
    """The loss of each epoch, once there is a checkpoint to go on from."""
    run = RunFolder(folder)
    begun = run.log_path.exists() and (run.checkpoint_path.exists() or run.is_trained)
    return {line["epoch"]: line["loss"] for line in log(folder)} if begun else {}


WORK = {
    "fixed": Work(
        ["certify", *SMALL, "--limit", IMAGES],
        partial(parts, pattern="estimation-*.parquet"),
        partial(seconds_taken, pattern="estimation-*.parquet"),
    ),
    "sequential": Work(
        ["certify", *SEQUENTIAL, "--limit", IMAGES],
        partial(parts, pattern="estimation-sequential-*.parquet"),
        partial(looks_reached, budget=600),
    ),
    "family": Work(
        ["certify", "--limit", IMAGES],
        parts,
        partial(seconds_taken, pattern="*.parquet"),
        begins_with="family_run",
    ),
    "attack": Work(
        ["attack", "--attack", "sparse-rs", "--steps", 10, "--limit", 6, *PROBE],
        attacks,
        attacks,
        outcome="attacks/sparse-rs.json",
        enough=2,
        total=6,
        left=6,
    ),
    "training": Work(
        ["train", "--data", "digits", "--retained", 12, "--epochs", 40, "--out"],
        epochs,
        epochs,
        begins_with=None,
        outcome="model.safetensors",
        total=40,
        left=40,
    ),
}


@pytest.mark.parametrize("name", WORK)
def test_what_was_killed_is_gone_on_with_to_the_same_end(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGKILL in the middle of the real command, then the same command again."""
    work, killed, whole = WORK[name], tmp_path / "killed", tmp_path / "whole"
    if work.begins_with:
        for path in (killed, whole):
            shutil.copytree(request.getfixturevalue(work.begins_with), path)
    kill_when(
        lambda: len(work.pieces(killed)) >= work.enough, *work.words, killed, first=STORE_AT_ONCE
    )
    assert not (killed / work.outcome).exists()
    before = work.done(killed)
    assert work.enough <= len(before) < work.total
    for path in (killed, whole):
        run(*work.words, path)
    if work.outcome.endswith(".json"):
        assert comparable(killed, work.outcome) == comparable(whole, work.outcome)
    else:
        assert (killed / work.outcome).read_bytes() == (whole / work.outcome).read_bytes()
    after = work.done(killed)
    assert before.items() <= after.items()
    assert len(after) == work.total
    assert len(work.pieces(killed)) == work.left


@pytest.mark.parametrize("name", ["fixed", "sequential", "family"])
def test_counting_in_pieces_gives_the_same_result(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work = WORK[name]
    at_once, in_pieces = (
        shutil.copytree(request.getfixturevalue(str(work.begins_with)), tmp_path / copy)
        for copy in ("at once", "in pieces")
    )
    words = work.words[:-2]  # without --limit
    for limit in (9, 45, 90):
        run(*words, in_pieces, "--limit", limit)
    run(*words, at_once, "--limit", 90)
    assert comparable(in_pieces) == comparable(at_once)
