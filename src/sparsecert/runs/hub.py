"""Runs on the Hugging Face Hub: their names, what is read of them, and uploading.

Of a repository only the configuration, the weights and the record are downloaded, and into the
cache of `huggingface_hub`, where nothing else is written. Votes that others counted stay there.
"""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecert import files
from sparsecert.errors import InputError, RunFolderError
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.parquet import find_parts

OWN_RUNS = Path("runs")  # where votes on runs of the Hub are kept
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_CONFIG, _MODEL, _RECORD = "config.json", "model.safetensors", "record.json"
_RESULTS = re.compile(rf"{re.escape(_RECORD)}|tallies/[^/]+\.parquet")
_MOST_BYTES = {_CONFIG: 2**24, _MODEL: 2**32, _RECORD: 2**24}


@dataclass(frozen=True)
class _HubName:
    """A repository, and its revision; None is its main branch."""

    repository: str
    revision: str | None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def locate(run: str | Path, revision: str | None = None) -> tuple[Path, str | None]:
    """Where a run can be read.

    A path that exists is a local one, and so is one in a folder that exists, unless it names a
    revision.

    Args:
        run: a folder, or the name of a repository on the Hub, `user/name` or `user/name@revision`.
        revision: branch, tag or commit there, in place of @revision.

    Returns:
        The folder; and for a run on the Hub, which is not to be written to, its name with the
        commit.

    Raises:
        InputError: for a revision of a folder, or a name that the Hub does not have.
    """
    path = Path(run)
    repository, _, at = path.as_posix().partition("@")
    is_name = _NAME.fullmatch(repository) is not None
    if path.exists() or not is_name:
        if revision is not None:
            raise InputError(f"expected no revision of {path}, which is no name on the Hub")
        return path, None
    if at and revision is not None:
        raise InputError(f"expected one revision of {repository}, got {at!r} and {revision!r}")
    name = _HubName(repository, revision or at or None)
    if name.revision is None:
        return (path, None) if path.parent.exists() else _downloaded(name)
    if Path(repository).exists():
        raise InputError(
            f"expected no revision of {repository}, which is a folder here; start from another "
            "folder to get the run of that name on the Hugging Face Hub"
        )
    return _downloaded(name)


def own_run(run: str | Path) -> RunFolder:
    """A finished run to be written to: the folder, or for a run on the Hub one of one's own.

    That is a folder in `OWN_RUNS` with its configuration and weights, and without the votes and
    results of others.

    Raises:
        InputError: for a name that the Hub does not have.
        RunFolderError: for a folder without a finished run, or if there can be none of one's own.
    """
    source = RunFolder.open(*locate(run))
    if source.hub_name is None:
        return source
    repository, _, commit = source.hub_name.partition("@")
    own = RunFolder.create(
        OWN_RUNS / f"{repository.replace('/', '--')}-{commit[:12]}", source.config
    )
    if not own.is_trained:
        with files.atomic_path(own.model_path) as temporary:
            shutil.copyfile(source.model_path, temporary)
    return own


def push_run(
    run: RunFolder, name: str, card: str, *, private: bool, revision: str | None, tallies: bool
) -> str:
    """Upload a run's own files, and its card, in one commit.

    Args:
        run: a finished run.
        name: of the repository, which is made if it does not exist.
        card: the text of README.md.
        private: make it private; one that is public already is left alone.
        revision: branch to write to, which is made if it does not exist; main by default.
        tallies: upload the votes too.

    Returns:
        The address of the commit.

    Raises:
        InputError: for something that is no name, or if the Hub refuses.
        RunFolderError: for a file that is damaged, or a link out of the folder.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"expected the name of a repository as user/name, got {name!r}")
    found = _own_files(run, tallies=tallies)
    try:
        return _commit(name, found, card, private=private, revision=revision)
    except InputError:
        raise
    except Exception as error:  # no network, no token, no right: one way out for the user
        raise InputError(
            f"cannot upload to {name} on the Hugging Face Hub ({_first_line(error)}); "
            "`hf auth login` stores a token, which has to allow writing there"
        ) from error


def _commit(
    name: str, found: dict[str, Path], card: str, *, private: bool, revision: str | None
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    api.create_repo(name, private=private or None, exist_ok=True)
    if revision is not None:
        api.create_branch(name, branch=revision, exist_ok=True)
    there = api.model_info(name, revision=revision)
    if private and not there.private:
        raise InputError(
            f"{name} exists and is public; make it private on the Hub, or choose another name"
        )
    # What an earlier commit says of other weights does not stay beside these.
    paths = (sibling.rfilename for sibling in there.siblings or ())
    outdated = [path for path in paths if _RESULTS.fullmatch(path) and path not in found]
    operations: list[Any] = [
        *(CommitOperationDelete(path) for path in outdated),
        *(CommitOperationAdd(path, str(file)) for path, file in found.items()),
        CommitOperationAdd("README.md", card.encode()),
    ]
    with warnings.catch_warnings():  # votes are Parquet files, which it takes for a data set
        warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")
        commit = api.create_commit(
            name, operations, commit_message="A run of sparsecert", revision=revision
        )
    return str(commit.commit_url)


def _own_files(run: RunFolder, *, tallies: bool) -> dict[str, Path]:
    """The files to be uploaded, by their paths there; each has been read without an error."""
    run.load_model()
    found = {_CONFIG: run.config_path, _MODEL: run.model_path}
    if run.record_path.exists():
        found[_RECORD] = run.record_path
    if tallies:
        find_parts(run.tallies_path, {"fingerprint": run.fingerprint()})  # says what is wrong
        parts = sorted(run.tallies_path.glob("[!.]*.parquet"))
        found |= {f"tallies/{path.name}": path for path in parts}
    for path in found.values():
        if not path.resolve().is_relative_to(run.path.resolve()):
            raise RunFolderError(
                f"expected {path} inside the run folder, got a link to {path.readlink()}; put "
                "there what it points to"
            )
    return found


def _downloaded(name: _HubName) -> tuple[Path, str]:
    """The folder in the cache, and the name with the commit."""
    from huggingface_hub import HfApi, snapshot_download

    wanted: dict[str, Any] = {"revision": name.revision, "allow_patterns": list(_MOST_BYTES)}
    try:
        info = HfApi().model_info(name.repository, revision=name.revision, files_metadata=True)
    except Exception as unreachable:  # no network, no such name, no access
        try:
            cached = snapshot_download(name.repository, local_files_only=True, **wanted)
        except Exception:
            raise InputError(
                f"{name} is neither a folder here nor a run on the Hugging Face Hub that can be "
                f"read ({_first_line(unreachable)}), and it is not in its cache"
            ) from unreachable
        return _snapshot(name, Path(cached))
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    if _CONFIG not in sizes or _MODEL not in sizes:
        raise InputError(
            f"expected {name} on the Hugging Face Hub with {_CONFIG} and {_MODEL}, as `sparsecert "
            "push` uploads them, got a repository without"
        )
    for file, most in _MOST_BYTES.items():
        size = sizes.get(file, 0)
        if size is None or size > most:
            raise InputError(f"expected {file} of {name} with at most {most} bytes, got {size}")
    try:
        folder = Path(snapshot_download(name.repository, **wanted))
    except Exception as error:
        raise InputError(
            f"cannot download {name} from the Hugging Face Hub ({_first_line(error)})"
        ) from error
    if folder.name != info.sha:  # nobody looked at the sizes of this one
        raise InputError(f"{name} changed while it was downloaded; repeat the command")
    return _snapshot(name, folder)


def _snapshot(name: _HubName, folder: Path) -> tuple[Path, str]:
    return folder, f"{name.repository}@{folder.name}"


def _first_line(error: Exception) -> str:
    """The kind of an error, and what it says first; the rest is advice for programmers."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])
