"""Work that is split into shards ends as the whole does, to the byte but for times."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecert.data import Shard
from sparsecert.errors import InputError
from sparsecert.report.tables import run_rows
from sparsecert.runs.folder import RunFolder
from tests.helpers.commands import PROBE, SMALL, Fails, parts, read_json, record, run, train
from tests.helpers.internals import no_network

EXAMPLES = Path(__file__).parent.parent / "examples"
SEQUENTIAL = ["--num-selection", 40, "--num-samples", 600, "--sampling", "sequential"]
CERTIFY: dict[str, tuple[str, list[object]]] = {
    "fixed": ("digits_run", ["certify", *SMALL, "--limit", 30]),
    "sequential": ("digits_run", ["certify", *SEQUENTIAL, "--limit", 30, "--rule", "pairwise"]),
    "family": ("family_run", ["certify", "--limit", 60]),
}


@given(st.integers(1, 60), st.integers(1, 60))
def test_shards_share_out_everything_evenly(size: int, count: int) -> None:
    count = min(size, count)
    shards = [Shard(number + 1, count).rows(size) for number in range(count)]
    assert sorted(np.concatenate(shards)) == list(range(size))
    for rows in shards:
        assert size // count <= len(rows) <= -(-size // count)
        assert (np.diff(rows) > 0).all()
        # One of each stretch of the whole.
        assert (rows // count == np.arange(len(rows))).all()


def test_classes_that_come_in_turns_are_in_every_shard() -> None:
    labels = np.arange(1_000) % 10
    for number in range(1, 11):
        counts = np.bincount(labels[Shard(number, 10).rows(1_000)], minlength=10)
        assert counts.min() >= 3


@pytest.mark.parametrize("words", ["0/3", "4/3", "1/0", "1", "a/3", "-1/3", "1/3/5", "1/ 3", "१/3"])
def test_what_is_no_shard_is_refused(words: str) -> None:
    with pytest.raises(InputError, match="expected a shard"):
        Shard.parse(words)


def told(path: Path) -> str:
    """A record as it was written, but for times."""
    return re.sub(r'"seconds": [\d.]+', '"seconds": 0', path.read_text())


@pytest.mark.parametrize("name", CERTIFY)
def test_merged_shards_are_the_whole(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fixture, words = CERTIFY[name]
    source, folder = request.getfixturevalue(fixture), tmp_path / "run"
    shutil.copytree(source, folder)
    run(*words, folder)
    whole, stored = told(folder / "record.json"), len(parts(folder))
    shutil.rmtree(folder)
    shutil.copytree(source, folder)
    for shard in ("3/3", "1/3", "2/3"):
        run(*words, folder, "--shard", shard)
    assert not parts(folder)
    assert "sparsecert merge" in dict(run_rows(RunFolder(folder)))["next"]
    shards = sorted((folder / "shards").iterdir())
    assert record(shards[1])["shard"] == "2/3"
    if name == "fixed":
        run("report", shards[1])
    # Overlaps count once: a share as one of two, and a folder twice.
    run(*words, folder, "--shard", "2/2")
    for _ in range(2):
        run("merge", *shards, shards[0], folder / "shards" / "2-of-2", "--into", folder)
        assert told(folder / "record.json") == whole
        assert len(parts(folder)) == stored


def test_merged_attacks_are_the_whole(folder: Path, tmp_path: Path) -> None:
    run("certify", folder, *SMALL, "--limit", 30)
    pristine = shutil.copytree(folder, tmp_path / "pristine")
    attack = ["attack", folder, "--attack", "greedy", "--limit", 6, *PROBE]
    run(*attack)
    whole = told(folder / "attacks" / "greedy.json")
    shutil.rmtree(folder)
    shutil.copytree(pristine, folder)
    for shard in ("1/2", "2/2"):
        run(*attack, "--shard", shard)
        number = shard[0]
        made = read_json(folder / "shards" / f"{number}-of-2" / "attacks" / "greedy.json")
        assert (made["num_images"], made["images_with_votes"]) == (3, 3)
    assert not (folder / "attacks").exists()
    run("merge", *(folder / "shards").iterdir(), "--into", folder)
    assert told(folder / "attacks" / "greedy.json") == whole


def test_predictions_of_shards_are_joined(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", folder, "--num-samples", 100, "--limit", 20, "--json"]
    labels: dict[int, int] = {}
    for shard in ("1/2", "2/2"):
        run(*words, "--shard", shard)
        made = json.loads(capsys.readouterr().out)
        labels |= dict(zip(made["indices"], made["predictions"], strict=True))
    run("merge", *(folder / "shards").iterdir(), "--into", folder)
    capsys.readouterr()
    no_network(monkeypatch)
    run(*words)
    made = json.loads(capsys.readouterr().out)
    assert dict(zip(made["indices"], made["predictions"], strict=True)) == labels


def test_a_shard_takes_over_what_the_run_has_counted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["certify", folder, *SMALL, "--limit", 20]
    run(*words)
    no_network(monkeypatch)
    run(*words, "--shard", "1/4")
    assert record(folder / "shards" / "1-of-4")["num_images"] == 5
    other = tmp_path / "elsewhere"
    run(*words, "--shard", "2/4", "--out", other)
    run(*words, "--shard", "2/4", "--out", other)
    assert record(other)["shard"] == "2/4"
    assert "--shard 2/4" in record(other)["command"]


def test_a_merge_says_what_is_missing_and_goes_on_later(folder: Path, fails: Fails) -> None:
    words = ["certify", folder, *SMALL, "--limit", 30]
    run(*words, "--shard", "1/3")
    first, third = (folder / "shards" / f"{number}-of-3" for number in (1, 3))
    fails("20 of 30 images have no selection votes", "merge", first, "--into", folder)
    run(*words, "--shard", "2/3")
    run(*words, "--shard", "3/3", "--alpha", 0.01)
    fails("certified in different ways", "merge", *first.parent.iterdir(), "--into", folder)
    assert not (folder / "record.json").exists()
    run(*words, "--shard", "3/3")
    run("merge", third, "--into", folder)  # the others have been joined before
    assert record(folder)["num_images"] == 30


def test_folders_that_do_not_go_together_are_refused(
    folder: Path, tmp_path: Path, fails: Fails
) -> None:
    other = train(tmp_path / "other", "--retained", 12, "--epochs", 1)
    run("certify", folder, *SMALL, "--limit", 4)
    fails("expected folders of one run", "merge", folder, "--into", other)
    fails("expected folders of one run", "certify", folder, "--out", other)
    assert not parts(other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    fails("is not a run folder", "certify", folder, "--out", tmp_path / "full")
    fails("at most 4 shards", "certify", folder, "--limit", 4, "--shard", "5/9")
    fails("expected a shard from 1/3 to 3/3", "attack", folder, "--shard", "0/3")


def test_reproduce_wants_a_trained_run_and_a_table(fails: Fails, tmp_path: Path) -> None:
    words = ["--out", tmp_path, "--results", tmp_path, "--shard", "1/2"]
    fails("for a table", "reproduce", "figure2", *words)
    table = ["reproduce", "table1", "--retained", 45, *words]
    fails("which shards do not train", *table)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Add a program of this name to PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def add(name: str, script: str) -> None:
        path = folder / name
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    add("sparsecert", f'#!/bin/sh\nexec {sys.executable} -m sparsecert "$@"\n')
    return add


# What a queue does with the options that the example uses: all tasks of an array at once.
SBATCH = r"""#!/bin/sh
set -eu
tasks=1 wrapped=
while true; do
    case $1 in
        --parsable | --dependency=afterok:4711) shift ;;
        --wrap) wrapped=$2; shift 2; break ;;
        -*) echo "unknown option $1" >&2; exit 1 ;;
        *) break ;;
    esac
done
if [ "$wrapped" ]; then exec sh -c "$wrapped"; fi
count=$(sed -n 's/^#SBATCH --array=1-//p' "$1")
export SLURM_ARRAY_TASK_COUNT="$count" SLURM_CPUS_PER_TASK=1
processes=
for task in $(seq "$count"); do
    SLURM_ARRAY_TASK_ID=$task sh "$@" >/dev/null &
    processes="$processes $!"
done
for process in $processes; do wait "$process"; done
echo 4711
"""


def test_slurm_example(folder: Path, commands: Callable[[str, str], None], tmp_path: Path) -> None:
    """The lines at its head, on a queue that runs two tasks at once."""
    commands("sbatch", SBATCH)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    script = tmp_path / "examples" / "slurm.sh"
    text = script.read_text()
    script.write_text(text.replace("--array=1-8", "--array=1-2"))
    lines = "\n".join(re.findall(r"^#   (.*)", text, re.MULTILINE))
    assert lines.count("sbatch") == 2
    lines = lines.replace("runs/mnist-k45", str(folder)).replace("--limit 1000", "--limit 30 $MORE")
    subprocess.run(
        ["sh", "-eu", "-c", f"MORE='{' '.join(map(str, SMALL))}'\n{lines}"],
        cwd=tmp_path,
        check=True,
    )
    assert record(folder)["num_images"] == 30


def test_shell_example(folder: Path, commands: Callable[[str, str], None]) -> None:
    """One shard, and beside it another command for the same one."""
    small = ["--limit", "30", *map(str, SMALL)]
    also = subprocess.Popen(["sparsecert", "certify", str(folder), "--shard", "1/1", *small])
    script = ["sh", str(EXAMPLES / "shards.sh"), str(folder), "1", *small]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    assert also.wait() == 0
    assert record(folder)["num_images"] == 30
