"""What is refused of submissions that someone has changed, and that the others hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparsecert.procedures.run import run_images
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.runs.folder import RunFolder
from sparsecert.streams import Stage
from sparsecert.submissions.verify import verify
from tests.helpers.commands import Fails, Output, parts, read_json, run
from tests.helpers.internals import no_network
from tests.helpers.submissions import (
    RECORDS,
    WORDS,
    Tamper,
    each,
    edit_json,
    in_column,
    in_config,
    in_labels,
    in_record,
    in_rows,
    in_settings,
    without,
)


@pytest.mark.parametrize("kind", list(WORDS))
def test_all_records_follow_from_the_votes(
    submissions: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_network(monkeypatch)
    verdict = verify(submissions[kind])
    assert verdict.verified, verdict.reasons
    assert set(verdict.records) == set(RECORDS[kind])
    told = " ".join(verdict.unchecked)
    assert "network" in told
    assert "hardware" in told
    assert ("cast its own ballot" if kind == "family" else "independently") in told
    assert "labels" not in told  # digits are at hand


def test_no_weights_and_only_votes_that_are_read_are_submitted(
    submissions: dict[str, Path],
) -> None:
    names = {path.name for path in submissions["fixed"].rglob("*") if path.is_file()}
    votes = {path.name for path in parts(submissions["fixed"])}
    records = {f"{name}.json" for name in RECORDS["fixed"]}
    assert names == {"config.json", "labels.json"} | votes | records
    assert len(votes) == 2
    assert sum(path.stat().st_size for path in submissions["fixed"].rglob("*")) < 100_000


def rising(rows: pa.Table) -> pa.Table:
    """Rows on the images after these."""
    return rows.set_column(0, "index", pa.array(rows["index"].to_numpy() + 1))


def add(place: tuple[int, int], by: int) -> Any:
    def edit(numbers: np.ndarray) -> None:
        numbers[place] += by

    return edit


def move(numbers: np.ndarray) -> None:
    """Three votes from the largest count of each image to another class, the total kept."""
    rows = np.arange(len(numbers))
    numbers[rows, numbers.argmax(axis=1)] -= 3
    numbers[rows, numbers.argmin(axis=1)] += 3


def cut_off(path: Path) -> None:
    """The last bytes of a part are missing."""
    (part,) = parts(path, "selection-*")
    part.write_bytes(part.read_bytes()[:-100])


OTHER_FINGERPRINT = "0" * 16
TAMPERED: dict[str, tuple[str, Tamper, str]] = {
    "accuracy": ("fixed", in_record(accuracy=0.99), "it says that accuracy is 0.99, but the"),
    "median": (
        "sequential",
        in_record(median_certified_robustness=9),
        "it says that median_certified_robustness is 9",
    ),
    "certified accuracy": (
        "family",
        lambda path: edit_json(
            path / "records" / "pairwise.json",
            lambda record: record["certified_accuracy"].__setitem__(1, 0.995),
        ),
        "it says that certified_accuracy[1] is 0.995",
    ),
    "one radius more": (
        "fixed",
        lambda path: edit_json(
            path / "records" / "pairwise.json",
            lambda record: record["certified_accuracy"].append(0.1),
        ),
        "it says that certified_accuracy is",
    ),
    "interval": (
        "fixed",
        lambda path: edit_json(
            path / "records" / "pairwise.json",
            lambda record: record["intervals"].update(accuracy=[0.9, 0.91]),
        ),
        "it says that intervals.accuracy[0] is 0.9",
    ),
    "number of samples": ("sequential", in_record(mean_num_samples=12.0), "mean_num_samples"),
    "another alpha": ("fixed", in_record(alpha=0.4), "certified_accuracy"),
    "alpha of a family": ("family", in_record(alpha=0.05), "it says that alpha is 0.05"),
    "another rule": ("fixed", in_record(rule="margin"), "it says that"),
    "a rule of other designs": ("fixed", in_record(rule="run-off"), "run-off"),
    "another top": ("fixed", in_record("top", top=3), "it says that"),
    "no top": ("family", in_record("patches", top=-1), "expected top from 1 to 9, got -1"),
    "another threat": ("family", in_record("patches", threat="patch:2x2,3x3"), "it says that"),
    "another threshold": ("family", in_record("abstaining", abstain=0.3), "it says that"),
    "threshold without probabilities": (
        "family",
        lambda path: in_rows(lambda rows: rows.drop_columns(["probabilities"]), "ballots-*")(path),
        "expected ballots with probabilities",
    ),
    "fewer images": ("fixed", in_record(limit=39), "have no selection votes"),
    "number of images": ("fixed", in_record(num_images=80), "it says that num_images is 80"),
    "a shard": ("fixed", in_record(shard="1/2"), "got that of shard 1/2"),
    "a value too few": ("fixed", in_record(sampler_version=None), "it lacks sampler_version"),
    "a value too many": ("fixed", in_record(state_of_the_art=True), "it says state_of_the_art"),
    "values of other types": ("fixed", in_record(alpha="0.05"), "expected alpha as"),
    "who counted": ("fixed", in_record(counted_by=["an abacus"]), "it says that counted_by"),
    "no record": (
        "fixed",
        without("records/*.json"),
        "it has no record",
    ),
    "another k": ("fixed", in_config(num_retained=4), "of another run, with another num_retained"),
    "another k everywhere": (
        "sequential",
        each(in_config(num_retained=4), in_record(num_retained=4)),
        "it says that certified_accuracy is",
    ),
    "a class more": (
        "fixed",
        in_config(class_names=[str(number) for number in range(11)]),
        "expected counts of 11 classes",
    ),
    "a class more of a family": (
        "family",
        in_config(class_names=[str(number) for number in range(11)]),
        "expected ballots of 36 sets on 11 classes",
    ),
    "counts that do not add up": (
        "fixed",
        in_column("first_choice", add((3, 2), 5)),
        "expected counts that add up to 300 votes",
    ),
    "counts that do not add up to a look": (
        "sequential",
        in_column("first_choice", add((3, 9), 5)),
        "expected counts that add up to",
    ),
    "negative counts": (
        "fixed",
        in_column("head_to_head", add((0, 0), -400)),
        "expected counts of at least 0",
    ),
    "votes for another class": ("fixed", in_column("first_choice", move), "head_to_head"),
    "no ranking": (
        "family",
        in_column("ranks", add((0, 0), 1), "ballots-*"),
        "expected every ballot to rank 10 classes",
    ),
    "other rankings": (
        "family",
        each(
            in_column("probabilities", lambda steps: steps.fill(25), "ballots-*"),
            in_column("ranks", lambda ranks: np.subtract(9, ranks, out=ranks), "ballots-*"),
        ),
        "it says that accuracy is",
    ),
    "probabilities that are not the rankings'": (
        "family",
        in_column("probabilities", lambda steps: steps[:, :1].fill(1), "ballots-*"),
        "expected no ballot with probabilities that rise with the rank",
    ),
    "images of another shape": (
        "family",
        in_config(image_shape=[4, 16]),
        "expected a design for inputs of shape (1, 8, 8), got one for images of 4 by 16",
    ),
    "units in other words": (
        "fixed",
        in_config(units_given=["patch:2", None]),
        "expected the units that units_given names",
    ),
    "an image twice": (
        "fixed",
        in_rows(lambda rows: pa.concat_tables([rows, rows.slice(0, 1)])),
        "expected each image once",
    ),
    "an image in two parts": (
        "sequential",
        in_rows(lambda rows: rows.slice(3, 2), again=True),
        "expected the estimation-sequential votes of each image once, got several of 2 images",
    ),
    "an image too few": ("fixed", in_rows(lambda rows: rows.slice(1)), "1 of 40 images have no"),
    "images too many": (
        "fixed",
        in_rows(lambda rows: rising(rows).slice(0, 5), again=True),
        "on 5 others",
    ),
    "other images": ("family", in_rows(rising, "ballots-*"), "40 of 40 images have no"),
    "images that are none": (
        "fixed",
        in_column("index", add((39, 0), 10_000)),
        "expected indices of 450 images",
    ),
    "other looks": (
        "sequential",
        each(in_settings(num_samples=500), in_record(num_samples=500)),
        "have no estimation-sequential votes",
    ),
    "votes that select, to estimate": (
        "fixed",
        each(without("tallies/estimation-*"), in_settings("selection-*", stage="estimation")),
        "have no selection votes",
    ),
    "votes of another stage": (
        "fixed",
        in_settings(stage="prediction"),
        "expected votes that its records were measured by, got others, under",
    ),
    "another seed to select": (
        "sequential",
        in_settings("selection-*", seed=7),
        "have no selection votes",
    ),
    "another sampler": ("fixed", in_settings(sampler_version=None), "sampler_version is 2, but"),
    "a sampler of the future": (
        "fixed",
        in_settings(sampler_version=3),
        "have no estimation votes",
    ),
    "more samples": ("fixed", in_settings(num_samples=301), "that add up to 301 votes"),
    "two models": (
        "fixed",
        in_settings(fingerprint=OTHER_FINGERPRINT),
        "expected votes of one model",
    ),
    "other data": (
        "fixed",
        each(
            in_settings("*", dataset_fingerprint=OTHER_FINGERPRINT),
            in_labels(lambda labels: labels.update(fingerprint=OTHER_FINGERPRINT)),
        ),
        "expected votes on the test split of digits with the fingerprint",
    ),
    "another label": (
        "family",
        in_labels(lambda labels: labels["labels"].__setitem__(1, 1 - labels["labels"][1] // 9)),
        "expected the labels of digits, got others of 1 images",
    ),
    "a label less": (
        "family",
        in_labels(lambda labels: labels["labels"].pop()),
        "expected the labels of 450 test images of digits, got 449",
    ),
    "a label that is none": (
        "family",
        in_labels(lambda labels: labels["labels"].__setitem__(1, 10)),
        "expected labels from 0 to 9",
    ),
    "a file cut off": ("fixed", cut_off, "truncated, damaged or not sparsecert's"),
    "another file": (
        "fixed",
        lambda path: (path / "model.pkl").touch(),
        "and no links, got model.pkl",
    ),
    "a link": (
        "fixed",
        lambda path: (path / "records" / "other.json").symlink_to("/etc/hostname"),
        "and no links, got records/other.json",
    ),
    "no votes": (
        "fixed",
        lambda path: shutil.rmtree(path / "tallies"),
        "expected votes of one model in",
    ),
}


@pytest.mark.parametrize("name", list(TAMPERED))
def test_what_was_changed_is_refused_with_its_reason(
    submissions: dict[str, Path], tmp_path: Path, name: str
) -> None:
    kind, tamper, reason = TAMPERED[name]
    path = Path(shutil.copytree(submissions[kind], tmp_path / "submission"))
    tamper(path)
    verdict = verify(path)
    assert not verdict.verified
    assert any(reason in sentence for sentence in verdict.reasons), verdict.reasons
    assert "done again" not in " ".join(verdict.reasons)


def test_commands_end_with_a_status_and_sentences(
    submissions: dict[str, Path], tmp_path: Path, output: Output, fails: Fails
) -> None:
    good, bad = submissions["fixed"], tmp_path / "bad"
    shutil.copytree(good, bad)
    in_record(accuracy=0.99)(bad)
    run("verify", good)
    told = output()
    assert told.count("not checked: that") == 4
    assert "pairwise: 40 images, accuracy" in told
    error = fails("pairwise.json: it says that accuracy is 0.99", "verify", good, bad, status=1)
    assert str(bad) in error
    assert str(good) not in error
    assert "expected the folder of a submission" in fails(
        "refused", "verify", tmp_path / "none", status=1
    )


def test_what_is_no_submission_is_not_written(
    folder: Path, submissions: dict[str, Path], tmp_path: Path, fails: Fails
) -> None:
    fails("`sparsecert certify", "submission", folder, "--out", tmp_path / "new")
    none = tmp_path / "none.json"
    fails(f"expected {none} to be a record", "submission", folder, none, "--out", tmp_path / "new")
    run("certify", folder, *WORDS["fixed"], "--limit", 10)
    fails("expected a new folder", "submission", folder, "--out", folder)
    own = folder / "record.json"
    fails("of different names", "submission", folder, own, own, "--out", tmp_path / "new")
    other = submissions["family"] / "records" / "pairwise.json"
    fails("of another run", "submission", folder, other, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    # Votes that are missing are told by verifying.
    many = submissions["fixed"] / "records" / "pairwise.json"
    fails("30 of 40 images", "submission", folder, many, "--out", tmp_path / "few", status=1)
    run("submission", folder, "--out", tmp_path / "new")
    assert list(verify(tmp_path / "new").records) == ["record"]


def test_votes_of_an_older_sampler_are_submitted_as_such(folder: Path, tmp_path: Path) -> None:
    run("certify", folder, *WORDS["fixed"], "--limit", 10)
    images = run_images(RunFolder(folder), limit=10)
    tallies = SampledProcedure(40, 300)._tallies(images)
    settings = tallies.settings(Stage.ESTIMATION)
    assert settings.older is not None
    stored = tallies.store.read(settings)
    for path in parts(folder, "estimation-*"):
        path.unlink()
    # One image counted by both samplers, of which the newer votes are read.
    tallies.store.append(settings.older, [stored])
    tallies.store.append(settings, [stored.take(np.array([4]))])
    run("certify", folder, *WORDS["fixed"], "--limit", 10)
    run("submission", folder, "--out", tmp_path / "new")
    assert verify(tmp_path / "new").records["record"]["sampler_version"] == 1
    rows = sorted(pq.read_table(part).num_rows for part in parts(tmp_path / "new", "estimation-*"))
    assert rows == [1, 9]


def test_labels_of_a_data_set_elsewhere_are_not_checked(
    submissions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no path that others wrote is read."""
    path = Path(shutil.copytree(submissions["sequential"], tmp_path / "submission"))
    names = {"dataset": "../digits"}
    monkeypatch.setenv("SPARSECERT_DATA", str(tmp_path / "data"))
    (tmp_path / "digits").mkdir()
    (tmp_path / "data").mkdir()
    in_config(**names)(path)
    in_record(**names)(path)
    in_labels(lambda labels: labels.update(names))(path)
    monkeypatch.setattr("sparsecert.data.load", None)
    verdict = verify(path)
    assert verdict.verified, verdict.reasons
    assert "labels are those of ../digits, which is not at hand" in " ".join(verdict.unchecked)
    in_labels(lambda labels: labels["labels"].__setitem__(0, 3))(path)
    assert read_json(path / "labels.json")["labels"][0] == 3
    assert any("accuracy" in reason for reason in verify(path).reasons)


def test_votes_that_say_they_are_larger_than_memory_are_not_read(
    submissions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsecert.submissions.submission._MOST_NUMBERS", 1_000)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    (reason,) = verify(submissions["fixed"]).reasons
    assert "expected votes of at most 1000 numbers" in reason
