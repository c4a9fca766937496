"""Where results go: files, links, pipes, standard output; and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.helpers.commands import SMALL, Fails, Output, run


@pytest.fixture
def counted(folder: Path) -> Path:
    run("certify", folder, *SMALL, "--limit", 8)
    return folder


def test_results_are_written_through_links_and_pipes(counted: Path, tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    run("certify", counted, *SMALL, "--limit", 8, "--record", link)
    assert link.is_symlink()
    assert json.loads(target.read_text())["num_images"] == 8
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    run("certify", counted, *SMALL, "--limit", 8, "--tsv", pipe)
    reader.join(30)
    assert len(read[0].splitlines()) == 9
    assert pipe.is_fifo()
    run("certify", counted, *SMALL, "--limit", 8, "--record", os.devnull)
    assert not Path(os.devnull).is_file()


def test_a_dash_is_standard_output(counted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run("certify", counted, *SMALL, "--limit", 8, "--json", "--tsv", "-")
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "\t" in line]) == 9
    assert json.loads("\n".join(lines[9:]))["num_images"] == 8


def test_results_as_json(counted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run("predict", counted, "--num-samples", 200, "--limit", 8, "--json")
    predicted = json.loads(capsys.readouterr().out)
    assert len(predicted["predictions"]) == len(predicted["indices"]) == 8
    assert predicted["num_samples"] == 200


def test_outputs_that_would_destroy_something_are_refused(
    counted: Path, tmp_path: Path, fails: Fails
) -> None:
    before = (counted / "config.json").read_text()
    certify = ["certify", counted, *SMALL, "--limit", 8]
    fails("outside the run folder for --record", *certify, "--record", counted / "config.json")
    fails("outside the run folder for --tsv", *certify, "--tsv", counted / "new.tsv")
    same = tmp_path / "same"
    fails("got the same", *certify, "--record", same, "--tsv", same)
    assert (counted / "config.json").read_text() == before
    assert not same.exists()


def test_an_overview_of_no_folder_makes_none(tmp_path: Path, fails: Fails) -> None:
    fails("folder of result records", "reproduce", "overview", "--results", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_fewer_than_no_predictions_cannot_be_shown(folder: Path) -> None:
    with pytest.raises(SystemExit):
        run("predict", folder, "--show", -1)


def test_a_certified_run_predicts_from_its_votes(
    counted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsecert.runs.folder.RunFolder.load_model", lambda _: 1 / 0)
    run("predict", counted, *SMALL[2:], "--limit", 8)


def test_attacks_are_on_certified_images(counted: Path, output: Output) -> None:
    run("attack", counted, "--attack", "greedy", "--limit", 3, "--budget", 1, "--num-samples", 50)
    record = json.loads((counted / "attacks" / "greedy.json").read_text())
    assert record["images_with_votes"] == 3


def test_info_says_what_there_is_and_what_comes_next(counted: Path, output: Output) -> None:
    output()
    run("info", counted)
    told = output()
    assert "majority on 8 images of digits" in told
    assert "next │ sparsecert report" in told


def test_progress_in_a_pipe_is_lines(folder: Path) -> None:
    command = [sys.executable, "-m", "sparsecert", "certify", folder, *SMALL, "--limit", 4]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=True
    )
    assert "selection: 40 ablations per image: 0 of 4\n" in done.stderr
    assert "selection: 40 ablations per image: 4 of 4\n" in done.stderr
