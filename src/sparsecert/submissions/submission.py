"""The folder of a submission, as others wrote it.

config.json          of the run: design, network and classes
labels.json          labels of the whole test split, with its name and fingerprint
model.safetensors    the weights, and
train.jsonl          what training said: with both or neither
tallies/*.parquet    votes
records/*.json       records: each one way to read the votes
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecert.data import Dataset, representatives
from sparsecert.errors import InputError
from sparsecert.json_values import build, read_object
from sparsecert.procedures.procedure import RunImages
from sparsecert.procedures.run import store_of
from sparsecert.records.record import check_record
from sparsecert.records.types import CERTIFICATION
from sparsecert.runs.config import RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.parquet import count_numbers
from sparsecert.votes.store import VoteStore

LABELS, RECORDS = "labels.json", "records"
WEIGHTS = ("model.safetensors", "train.jsonl")
_FILES = ("config.json", LABELS, "README.md", *WEIGHTS)
_PARTS = {"tallies": ".parquet", RECORDS: ".json"}
_MOST_FILES = 1_000
_MOST_NUMBERS = 2**28  # 2 GiB, as they are read
_MOST_BYTES = 2**32  # of weights


@dataclass(frozen=True)
class Labels:
    """What `labels.json` holds.

    Attributes:
        dataset: its name.
        fingerprint: of inputs and labels of the test split.
        labels: of the test split, in its order.
    """

    dataset: str
    fingerprint: str
    labels: tuple[int, ...]

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"


@dataclass(frozen=True)
class Submission:
    """A submission whose files have been read, and not yet compared.

    Attributes:
        run: its folder as that of a run, perhaps without weights.
        dataset: the test split without its inputs.
    """

    run: RunFolder
    dataset: Dataset

    @classmethod
    def open(cls, path: Path) -> Submission:
        """The submission in a folder.

        Raises:
            InputError: for a folder with other files, without votes, or with what cannot be.
            RunFolderError: for a configuration or votes that are damaged.
        """
        _check_files(path)
        config = RunFolder(path).config
        labels = _read_labels(path / LABELS, config.num_classes)
        dataset = _LabelledSplit(
            labels.dataset,
            "test",
            None,
            np.array(labels.labels, dtype=np.int64),
            config.class_names,
            config.feature_range,
            labels.fingerprint,
        )
        if (numbers := count_numbers(path / "tallies")) > _MOST_NUMBERS:
            raise InputError(f"expected votes of at most {_MOST_NUMBERS} numbers, got {numbers}")
        store = store_of(RunFolder(path), len(dataset))
        settings = store.all_settings()
        models = {each.fingerprint for each in settings}
        if len(models) != 1:
            found = " and ".join(sorted(models)) or "no votes"
            raise InputError(f"expected votes of one model in {path / 'tallies'}, got {found}")
        for each in settings:
            store.read(each)  # says what is wrong with a part
        return cls(_run_of(path, models.pop()), dataset)

    @property
    def has_weights(self) -> bool:
        """Whether the votes can be counted again, where the data set is at hand."""
        return self.run.is_trained

    @property
    def store(self) -> VoteStore[Any, Any]:
        """The votes."""
        return store_of(self.run, len(self.dataset))

    def record_paths(self) -> list[Path]:
        """The files of the records."""
        return sorted((self.run.path / RECORDS).glob("*.json"))

    def images(self, record: Mapping[str, Any]) -> RunImages:
        """The images that a record is about.

        Raises:
            InputError: for a limit under 1.
        """
        chosen = representatives(self.dataset.labels, record["limit"])
        return RunImages(self.run, self.dataset, chosen)


@dataclass(frozen=True)
class _LabelledSplit(Dataset):
    """A split whose inputs are not at hand, but their fingerprint."""

    known_fingerprint: str = ""

    def fingerprint(self) -> str:
        """As it was written down."""
        return self.known_fingerprint


class _RunWithoutWeights(RunFolder):
    """A run folder without weights, but with their fingerprint."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        super().__init__(path)
        self._known_fingerprint = fingerprint

    def fingerprint(self) -> str:
        """As the votes say it."""
        return self._known_fingerprint


def _run_of(path: Path, fingerprint: str) -> RunFolder:
    """The submission's run, of whose network the votes say that they are.

    Raises:
        InputError: for weights of another network, or more of them than can be.
    """
    run = RunFolder(path)
    if not run.is_trained:
        return _RunWithoutWeights(path, fingerprint)
    if (size := run.model_path.stat().st_size) > _MOST_BYTES:
        raise InputError(f"expected weights of at most {_MOST_BYTES} bytes, got {size}")
    if run.fingerprint() != fingerprint:
        raise InputError(
            f"expected weights of the model that cast the votes, with fingerprint {fingerprint}, "
            f"got those of {run.fingerprint()}"
        )
    return run


def read_whole_record(path: Path, config: RunConfig) -> dict[str, Any]:
    """A record of a certification of this run, of all its images.

    Raises:
        InputError: for what is none.
    """
    record = read_object(path)
    check_record(record, CERTIFICATION, config)
    if record.get("shard") is not None:
        raise InputError(f"expected the record of a whole run, got that of shard {record['shard']}")
    return record


def _check_files(path: Path) -> None:
    """Raise `InputError` for what belongs to no submission, links among them."""
    expected = f"{', '.join(_FILES)}, tallies/*.parquet and {RECORDS}/*.json"
    if not path.is_dir():
        raise InputError(f"expected the folder of a submission, with {expected}, got {path}")
    for number, found in enumerate(_files_in(path)):
        name = found.relative_to(path)
        known = str(name) in _FILES or _PARTS.get(str(name.parent)) == name.suffix
        if not known or name.name.startswith(".") or found.is_symlink() or not found.is_file():
            raise InputError(f"expected {expected}, and no links, got {name}")
        if number >= _MOST_FILES:
            raise InputError(f"expected at most {_MOST_FILES} files in {path}, got more")


def _files_in(path: Path) -> Iterator[Path]:
    for found in path.iterdir():
        if found.name in _PARTS and found.is_dir() and not found.is_symlink():
            yield from found.iterdir()
        else:
            yield found


def _read_labels(path: Path, num_classes: int) -> Labels:
    try:
        labels = build(Labels, read_object(path))
        if not labels.labels:
            raise InputError("expected at least one label, got none")
        if not 0 <= min(labels.labels) <= max(labels.labels) < num_classes:
            raise InputError(
                f"expected labels from 0 to {num_classes - 1}, got {min(labels.labels)} to "
                f"{max(labels.labels)}"
            )
    except InputError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return labels
