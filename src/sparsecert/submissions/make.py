"""Making a submission of a run: its records, and of its votes what they were read from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert import files
from sparsecert.data import representatives
from sparsecert.errors import InputError, RunFolderError
from sparsecert.procedures.procedure import RunImages
from sparsecert.procedures.run import load_evaluation_data, recorded_procedure, store_of
from sparsecert.records.record import to_text
from sparsecert.runs.folder import RunFolder
from sparsecert.submissions.submission import LABELS, RECORDS, WEIGHTS, Labels, read_whole_record
from sparsecert.votes.ballots import Ballots
from sparsecert.votes.store import Votes, VoteSettings


def make_submission(
    run: RunFolder, records: Sequence[Path], out: Path, *, weights: bool = False
) -> None:
    """Write a folder with these records of a run and the votes that they were measured by.

    Args:
        run: with the votes.
        records: as `sparsecert certify --record` writes them, all of one data set.
        out: a folder that is not there yet, or empty.
        weights: whether the network's go with it, so that others can count votes again.

    Raises:
        InputError: for files that are no records of this run, records of a shard, of several data
            sets or of one name.
        RunFolderError: for votes that are damaged, or a folder that is not empty or not writable.
    """
    if not records:
        raise InputError("expected the files of one record or more, got none")
    names = [path.stem for path in records]
    if len(set(names)) < len(names):
        raise InputError(f"expected records in files of different names, got {', '.join(names)}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunFolderError(f"expected a new folder for the submission, got {out}")
    read = [_read(path, run) for path in records]
    if len(datasets := sorted({record["dataset"] for record in read})) > 1:
        raise InputError(f"expected records of one data set, got {' and '.join(datasets)}")
    dataset = load_evaluation_data(run, datasets[0])
    wanted: dict[VoteSettings, list[NDArray[np.int64]]] = defaultdict(list)
    for record in read:
        indices = representatives(dataset.labels, record["limit"])
        procedure = recorded_procedure(run.config.design, record)
        for settings in procedure.votes_settings(RunImages(run, dataset, indices)):
            wanted[settings].append(indices)
    files.make_folder(out / RECORDS)
    config = run.config_path.read_text(encoding="utf-8")
    files.write_text(out / run.config_path.name, config)
    labels = Labels(dataset.name, dataset.fingerprint(), tuple(dataset.labels.tolist()))
    files.write_text(out / LABELS, labels.to_text())
    for name in WEIGHTS if weights else ():
        if (run.path / name).exists():  # a run that was imported has no log
            files.link_or_copy(run.path / name, out / name)
    abstain = any(record.get("abstain") for record in read)

    def needed(votes: Votes) -> Votes:
        if isinstance(votes, Ballots) and not abstain:
            return votes.without_probabilities
        return votes

    theirs, ours = (store_of(folder, len(dataset)) for folder in (run, RunFolder(out)))
    for settings, each in wanted.items():
        theirs.copy_to(ours, settings, np.unique(np.concatenate(each)), needed)
    for name, record in zip(names, read, strict=True):
        files.write_text(out / RECORDS / f"{name}.json", to_text(record))


def _read(path: Path, run: RunFolder) -> Mapping[str, Any]:
    try:
        return read_whole_record(path, run.config)
    except InputError as error:
        raise InputError(
            f"expected {path} to be a record of {run.path}, as `sparsecert certify --record` "
            f"writes it: {error}"
        ) from error
