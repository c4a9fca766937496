from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sparsecert import ABSTAIN, Certification, Prediction
from sparsecert.data import Dataset
from sparsecert.errors import RunFolderError
from sparsecert.procedures.procedure import Measurement, RunImages
from sparsecert.records.tsv import write_tsv
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.tally import Tally


def measurement() -> Measurement:
    """Four images: right; wrong; right but not certified; certified though PREDICT abstains."""
    targets = np.array([1, 2, 0, 2])
    votes = np.array([[0, 100, 0], [99, 1, 0], [50, 30, 20], [10, 30, 60]])
    certification = Certification(
        label=np.array([1, 0, 0, 2]),
        radius=np.array([7, 3, -1, 0]),
        lower_bound=np.array([0.9705, 0.9534, 0.4136, 0.5126]),
        tally=Tally(votes),
        alpha=0.05,
    )
    prediction = Prediction(np.array([1, 0, 0, ABSTAIN]), votes)
    dataset = Dataset("four", "test", np.zeros((61, 5)), np.zeros(61, dtype=np.int64), ("0", "1"))
    dataset.labels[[0, 20, 40, 60]] = targets
    images = RunImages(RunFolder(Path("run")), dataset, np.array([0, 20, 40, 60]))
    return Measurement(images, prediction, certification, np.array([0.5, 61.25, 3.0, 3_600.0]))


def test_rows_are_those_of_the_smoothing_scripts_followed_by_ours(tmp_path: Path) -> None:
    write_tsv(tmp_path / "certify.tsv", measurement())
    lines = (tmp_path / "certify.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("idx\tlabel\tpredict\tradius\tcorrect\ttime")
    ours = ["selected", "prediction", "lower_bound", "votes"]
    assert lines[0].split("\t")[6:] == ours
    assert [line.split("\t") for line in lines[1:]] == [
        ["0", "1", "1", "7", "1", "0:00:00.500000", "1", "1", "0.9705", "0 100 0"],
        ["20", "2", "0", "3", "0", "0:01:01.250000", "0", "0", "0.9534", "99 1 0"],
        ["40", "0", "-1", "-1", "0", "0:00:03", "0", "0", "0.4136", "50 30 20"],
        ["60", "2", "2", "0", "1", "1:00:00", "2", "-1", "0.5126", "10 30 60"],
        [""],
    ]


def test_certified_accuracy_can_be_computed_from_the_file(tmp_path: Path) -> None:
    # As the scripts of Cohen, Rosenfeld and Kolter do: mean of correct and radius >= rho.
    write_tsv(tmp_path / "certify.tsv", measurement())
    with (tmp_path / "certify.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for rho, estimate in enumerate(measurement().evaluation.certified_accuracy):
        hits = [row["correct"] == "1" and int(row["radius"]) >= rho for row in rows]
        assert sum(hits) / len(hits) == estimate.value


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot .*file"):
        write_tsv(tmp_path / "file" / "certify.tsv", measurement())
