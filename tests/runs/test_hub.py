"""Runs on the Hugging Face Hub: names, the cache, downloading, uploading, the card."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from torch import nn

import sparsecert as sc
from sparsecert.errors import InputError, RunFolderError
from sparsecert.report.card import model_card
from sparsecert.report.tables import run_rows
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.hub import locate
from sparsecert.runs.train import train_run
from tests.helpers.commands import SMALL, Fails, Output, parts, record, run
from tests.helpers.hub import Hub, cached, served
from tests.helpers.training import noise_images

NAME = "user/digits-k12"


@pytest.fixture(scope="session")
def certified_run(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with votes and a record; not to be changed."""
    path = Path(shutil.copytree(digits_run, tmp_path_factory.mktemp("certified") / "run"))
    run("certify", path, *SMALL, "--limit", 30)
    return path


@pytest.fixture
def own(certified_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(certified_run, tmp_path / "own"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to start from, without anything in it."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Path:
    """The cache, and no Hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Iterator[Hub]:
    """A Hub, and an empty cache."""
    with served(monkeypatch, tmp_path / "cache") as hub:
        yield hub


def same_weights(run: Any, folder: Path) -> bool:
    """Whether a smoothed classifier's network is that of a folder."""
    theirs = RunFolder(folder).load_model().state_dict()
    assert isinstance(run.base, nn.Module)
    return all(torch.equal(run.base.state_dict()[name].cpu(), theirs[name]) for name in theirs)


# The cache


def test_a_cached_run_is_read_where_it_is(offline: Path, certified_run: Path) -> None:
    snapshot = cached(offline, NAME, certified_run)
    before = sorted(offline.rglob("*"))
    assert same_weights(sc.load(NAME), certified_run)
    assert locate(NAME) == (snapshot, f"{NAME}@{snapshot.name}")
    rows = dict(run_rows(RunFolder(*locate(NAME))))
    assert rows["record"].startswith("majority on 30 images of digits")
    assert rows["next"] == f"sparsecert certify {NAME}@{snapshot.name}"
    run("info", NAME)
    assert sorted(offline.rglob("*")) == before
    assert sc.inputs_for(NAME, np.zeros((3, 8, 8))).shape == (3, 1, 8, 8)
    assert not any(Path.cwd().iterdir())


def test_revisions(offline: Path, certified_run: Path, family_run: Path) -> None:
    main, other = (
        cached(offline, NAME, source, revision)
        for source, revision in ((certified_run, "main"), (family_run, "v2"))
    )
    for name, revision, snapshot in [
        (NAME, None, main),
        (f"{NAME}@main", None, main),
        (NAME, "v2", other),
        (f"{NAME}@v2", None, other),
        (f"{NAME}@{other.name}", None, other),
    ]:
        assert locate(name, revision)[0] == snapshot
    assert isinstance(sc.load(NAME, revision="v2"), sc.FixedSmoothedClassifier)
    with pytest.raises(InputError, match=r"expected one revision of user/digits-k12, got 'v2' and"):
        sc.load(f"{NAME}@v2", revision="main")
    with pytest.raises(InputError, match=r"user/digits-k12@v3 is neither a folder here nor a run"):
        sc.load(f"{NAME}@v3")


def test_a_folder_comes_first(
    offline: Path, certified_run: Path, family_run: Path, here: Path, fails: Fails
) -> None:
    cached(offline, NAME, certified_run)
    shutil.copytree(family_run, here / NAME)
    assert isinstance(sc.load(NAME), sc.FixedSmoothedClassifier)
    with pytest.raises(InputError, match=r"expected no revision of user/digits-k12, which is no"):
        sc.load(NAME, revision="main")
    fails("expected no revision of user/digits-k12, which is a folder here", "info", f"{NAME}@main")
    # A path in a folder that is here is a path, also where there is nothing.
    fails("user/other is not a run folder", "certify", "user/other")
    with pytest.raises(RunFolderError, match="not a run folder"):
        sc.load(here / "none")


def test_votes_on_a_run_of_the_hub_are_kept_in_a_folder_of_ones_own(
    offline: Path, certified_run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = cached(offline, NAME, certified_run)
    before = sorted(offline.rglob("*"))
    folder = Path("runs") / f"user--digits-k12-{snapshot.name[:12]}"
    run("certify", NAME, *SMALL, "--limit", 30)
    assert f"votes and results of {NAME} are kept in {folder}" in capsys.readouterr().err
    counted = parts(folder)
    assert counted
    assert record(folder)["accuracy"] == record(certified_run)["accuracy"]
    run("certify", NAME, *SMALL, "--limit", 30, "--alpha", 0.01)
    assert parts(folder) == counted  # nothing was counted again
    run("report", f"{NAME}@main")
    assert RunFolder(folder).report_path.exists()
    run("attack", NAME, "--attack", "pointwise", "--limit", 1, "--num-samples", 60)
    words = ["--data", "digits", "--retained", 9, "--epochs", 0, "--start", NAME]
    run("train", *words, "--out", "runs/next")
    start = RunFolder(Path("runs/next")).config.start
    assert start is not None
    assert start.path == str(folder)
    assert sorted(path.name for path in here.iterdir()) == ["runs"]
    assert sorted(offline.rglob("*")) == before


def test_what_others_counted_is_not_taken_over(offline: Path, own: Path, fails: Fails) -> None:
    snapshot = cached(offline, NAME, own)
    shutil.copytree(own / "tallies", snapshot / "tallies")
    fails("has not been certified yet: run `sparsecert certify", "report", NAME)
    folder = Path("runs") / f"user--digits-k12-{snapshot.name[:12]}"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_copy_that_was_cut_off_is_finished(offline: Path, certified_run: Path) -> None:
    snapshot = cached(offline, NAME, certified_run)
    folder = Path("runs") / f"user--digits-k12-{snapshot.name[:12]}"
    folder.mkdir(parents=True)
    shutil.copy(snapshot / "config.json", folder)
    run("predict", NAME, *SMALL[2:], "--limit", 3)
    model = "model.safetensors"
    assert (folder / model).read_bytes() == (certified_run / model).read_bytes()


def test_the_environment_decides_where_the_cache_is(
    tmp_path: Path, certified_run: Path, here: Path
) -> None:
    cached(tmp_path / "cache", NAME, certified_run)
    variables = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")}
    words = [sys.executable, "-m", "sparsecert", "info", NAME]
    done = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "majority on 30 images of digits" in " ".join(done.stdout.split())


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_cache_ends_in_a_sentence(
    offline: Path, certified_run: Path, missing: str, fails: Fails
) -> None:
    (cached(offline, NAME, certified_run) / missing).unlink()
    words = {"config.json": "is not a run folder", "model.safetensors": "has not finished"}
    fails(words[missing], "certify", NAME)


def test_names_that_nobody_has_end_in_a_sentence(offline: Path, fails: Fails) -> None:
    words = "nobody/nothing is neither a folder here nor a run on the Hugging Face Hub that can be"
    fails(words, "certify", "nobody/nothing")
    fails("nobody/a--b is neither a folder here nor", "info", "nobody/a--b")
    fails("nobody is not a run folder", "info", "nobody")
    fails("a/b/c is not a run folder", "info", "a/b/c")
    with pytest.raises(InputError, match="expected no revision of /none, which is no name on the"):
        sc.load("/none", revision="main")


# Downloading


def put(hub: Hub, source: Path, *, more: dict[str, bytes] | None = None) -> None:
    """A run on the Hub, as others may have made it."""
    files = {str(p.relative_to(source)): p.read_bytes() for p in source.rglob("*") if p.is_file()}
    hub.branches[NAME] = {"main": files | (more or {})}


def test_only_what_a_run_needs_is_downloaded(hub: Hub, certified_run: Path, tmp_path: Path) -> None:
    put(hub, certified_run, more={"sparsecert.py": b"raise SystemExit", "weights.bin": b"x"})
    assert same_weights(sc.load(NAME), certified_run)
    snapshot, name = locate(NAME)
    assert sorted(path.name for path in snapshot.iterdir()) == [
        "config.json", "model.safetensors", "record.json"
    ]  # fmt: skip
    assert name == f"{NAME}@{hub.commit(NAME, 'main')}"
    assert not any("tallies/" in path for path in hub.asked if "resolve" in path)


def test_what_was_downloaded_serves_without_the_hub(
    hub: Hub, certified_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(hub, certified_run)
    snapshot, _ = locate(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate(NAME)[0] == snapshot
    del hub.branches[NAME]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert locate(NAME)[0] == snapshot


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "record.json"])
def test_files_that_are_too_large_are_not_downloaded(
    hub: Hub, certified_run: Path, file: str, tmp_path: Path
) -> None:
    put(hub, certified_run)
    hub.stated = {file: 2**33}
    with pytest.raises(InputError, match=rf"expected {file} of {NAME} with at most \d+ bytes"):
        sc.load(NAME)
    assert not any("resolve" in path for path in hub.asked)
    assert not list((tmp_path / "cache").rglob(file))


def test_repositories_without_a_run_end_in_a_sentence(
    hub: Hub, certified_run: Path, fails: Fails
) -> None:
    put(hub, certified_run)
    del hub.files(NAME)["model.safetensors"]
    fails(f"expected {NAME} on the Hugging Face Hub with config.json and", "info", NAME)
    fails("user/none is neither a folder here nor a run on", "info", "user/none")
    put(hub, certified_run, more={"config.json": b'{"format": "of others"}'})
    fails("was not written by this version of sparsecert", "info", NAME)
    put(hub, certified_run, more={"model.safetensors": b"\x80\x04a pickle"})
    fails("is damaged, or does not fit config.json", "predict", NAME, "--limit", 1)


# Uploading


def test_a_pushed_run_is_what_was_measured(hub: Hub, own: Path, output: Output) -> None:
    (own / "notes.txt").write_text("not to be shared")
    output()
    run("push", own, NAME)
    commit = hub.commit(NAME, "main")
    assert output() == f"uploaded: https://huggingface.co/{NAME}/commit/{commit}"
    files = hub.files(NAME)
    written = ["config.json", "model.safetensors", "record.json"]
    assert sorted(files) == [".gitattributes", "README.md", *written]
    assert all(files[name] == (own / name).read_bytes() for name in written)
    assert files["README.md"].decode() == model_card(RunFolder(own), NAME)
    assert not hub.private[NAME]
    assert same_weights(sc.load(NAME), own)


def test_the_votes_are_uploaded_if_asked_for(hub: Hub, own: Path) -> None:
    run("push", own, NAME, "--tallies")
    uploaded = {path for path in hub.files(NAME) if path.startswith("tallies/")}
    assert uploaded == {f"tallies/{path.name}" for path in parts(own)}
    # A run without a record replaces one that had it, and its votes.
    shutil.rmtree(own / "tallies")
    (own / "record.json").unlink()
    hub.files(NAME)["LICENSE"] = b"kept"
    run("push", own, NAME)
    assert sorted(hub.files(NAME)) == [
        ".gitattributes", "LICENSE", "README.md", "config.json", "model.safetensors"
    ]  # fmt: skip
    assert "this run has no record" in hub.files(NAME)["README.md"].decode()


def test_private_repositories_and_branches(hub: Hub, own: Path, fails: Fails) -> None:
    run("push", own, NAME, "--private", "--revision", "v2")
    assert hub.private[NAME]
    assert "config.json" in hub.files(NAME, "v2")
    assert "config.json" not in hub.files(NAME)
    run("push", own, NAME, "--private", "--revision", "v2")  # again, with nothing new
    hub.private[NAME] = False
    before = dict(hub.files(NAME))
    fails("exists and is public; make it private on the Hub", "push", own, NAME, "--private")
    assert hub.files(NAME) == before


def test_a_run_of_the_hub_can_be_pushed_elsewhere(hub: Hub, certified_run: Path) -> None:
    put(hub, certified_run)
    run("push", NAME, "user/other")
    model = "model.safetensors"
    assert hub.files("user/other")[model] == (certified_run / model).read_bytes()
    assert "record.json" not in hub.files("user/other")  # which others measured


def test_what_cannot_be_pushed_ends_in_a_sentence(hub: Hub, own: Path, fails: Fails) -> None:
    fails("expected the name of a repository as user/name, got 'digits'", "push", own, "digits")
    fails("expected the name of a repository as", "push", own, "user/name@main")
    hub.refuses = True
    fails("cannot upload to user/digits-k12 on the Hugging Face Hub (", "push", own, NAME)
    hub.refuses = False
    part = parts(own)[0]
    part.write_bytes(part.read_bytes()[:-9])
    fails("is truncated, damaged or not sparsecert's", "push", own, NAME, "--tallies")
    (own / "record.json").write_text("{}")
    fails("is damaged", "push", own, NAME)
    (own / "record.json").unlink()
    (own / "model.safetensors").write_bytes(b"nothing")
    fails("is damaged, or does not fit config.json", "push", own, NAME)
    assert not hub.branches


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tallies"])
def test_no_link_makes_push_upload_what_is_elsewhere(
    hub: Hub, own: Path, tmp_path: Path, file: str, fails: Fails
) -> None:
    target = parts(own)[0] if file == "tallies" else own / file
    target.rename(tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere")
    fails("inside the run folder, got a link to", "push", own, NAME, "--tallies")
    assert not hub.branches


# The card


def test_the_card_says_what_the_record_says(own: Path) -> None:
    text = model_card(RunFolder(own), NAME)
    card, result = ModelCard(text), record(own)
    data: dict[str, Any] = yaml.safe_load(text[4:].split("\n---\n")[0])
    assert (data["library_name"], data["pipeline_tag"]) == ("sparsecert", "image-classification")
    assert "datasets" not in data  # digits are not on the Hub
    assert card.data.get("library_name") == "sparsecert"  # as the Hub's own reader has it
    accuracy = data["model-index"][0]["results"][0]["metrics"][0]
    assert (accuracy["type"], accuracy["value"]) == ("accuracy", result["accuracy"])
    assert accuracy["args"] == {
        "alpha": 0.05, "rule": "majority", "num_images": 30, "num_samples": 200
    }  # fmt: skip
    low, high = result["intervals"]["accuracy"]
    assert f"{result['accuracy']:.2%} [{low:.2%}, {high:.2%}]".replace("%", " %") in text
    assert "at alpha = 0.05: each certificate is wrong with probability at most alpha" in text
    assert 'sc.load("user/digits-k12")' in text
    for words in ("train --data digits", "certify runs/digits-k12 --limit 30", f"certify {NAME}"):
        assert f"sparsecert {words}" in text
    assert str(own) not in text


def test_the_commands_of_a_card_repeat_the_run(own: Path, here: Path) -> None:
    text = model_card(RunFolder(own), NAME)
    repeated = text.index("## How to repeat it")
    block = re.search(r"```sh\n(.*?)\n```", text[repeated:], re.DOTALL)
    assert block is not None
    for command in block[1].split(" &&\n"):
        run(*command.split()[1:])
    again = record(Path("runs/digits-k12"))
    assert again["certified_accuracy"] == record(own)["certified_accuracy"]


def test_the_card_of_a_family_is_certain(family_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(family_run, tmp_path / "family"))
    assert "Nothing yet: this run has no record" in model_card(RunFolder(folder), NAME)
    run("certify", folder, "--limit", 20)
    run("attack", folder, "--attack", "pointwise", "--limit", 1)
    text = model_card(RunFolder(folder), NAME)
    assert "with certainty (alpha = 0): all ballots of a fixed family are cast" in text
    assert "Attack `pointwise` on `digits`, rule `plurality`:" in text


def test_texts_of_others_are_no_markup_in_a_card(tmp_path: Path, here: Path) -> None:
    wild = "a`b``<b>|\n# title\n---\nx: [y"
    data = noise_images(here / f"{wild.replace('/', '')}.npz", 12, 4)
    settings = {"num_retained": 4}
    folder = train_run(data, tmp_path / "wild", "fast", design_settings=settings, epochs=1)
    run("certify", folder.path, *SMALL, "--limit", 3)
    text = model_card(folder, NAME)
    metadata = yaml.safe_load(text[4:].split("\n---\n")[0])
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == Path(data).name
    assert "\n# title" not in text
    assert "```` a`b``" not in text  # the fence is as short as it can be
    assert "a`b``<b>|\\n# title\\n---" in text
