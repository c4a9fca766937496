"""The run folder: a trained base classifier and everything measured with it.

config.json          what was trained, on what, how
model.safetensors    the weights; present once training is complete
checkpoint.safetensors   the state of a training run that has not finished
train.jsonl          one line per epoch
tallies/*.parquet    votes, as images finish
record.json          the latest result
attacks/             attacked images, and the latest result of each attack
report/              the page
shards/              run folders of shares of the images
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import reprlib
from collections.abc import Collection, Iterator
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from sparsecert import files
from sparsecert.data import FeatureRange
from sparsecert.designs.design import design_settings
from sparsecert.errors import InputError, RunFolderError
from sparsecert.json_values import read_object
from sparsecert.runs.config import FORMAT, ParentRun, RunConfig
from sparsecert.runs.log import read_log
from sparsecert.training.recipes import Recipe

# Raise it when the same weights come to vote differently on the same ablation: another fixed layer.
# Which ablations are drawn has a version of its own, `streams.samples.SAMPLER_VERSION`.
VOTES_VERSION = 1


class RunFolder:
    """Paths of a run, and what lies there; `create` and `open` it.

    The configuration is read, and the weights are hashed, once for each object.

    Args:
        path: of the folder.
        hub_name: of a run in the cache of `huggingface_hub`, which is read and not written to:
            its repository and commit.
    """

    def __init__(self, path: Path, hub_name: str | None = None) -> None:
        self.path, self.hub_name = path, hub_name
        self.config_path = path / "config.json"
        self.model_path = path / "model.safetensors"
        self.checkpoint_path = path / "checkpoint.safetensors"
        self.log_path = path / "train.jsonl"
        self.lock_path = path / ".training.lock"
        self.tallies_path = path / "tallies"
        self.attacks_path = path / "attacks"
        self.record_path = path / "record.json"
        self.report_path = path / "report" / "index.html"
        self.shards_path = path / "shards"

    def __reduce__(self) -> tuple[type[RunFolder], tuple[Path]]:
        """Another process reads the folder for itself, wherever it is started."""
        return RunFolder, (self.path.absolute(),)

    @property
    def is_trained(self) -> bool:
        """Whether training has finished."""
        return self.model_path.is_file()

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunFolder:
        """A folder for this run: a new one, or the same run's to be resumed.

        Raises:
            RunFolderError: if the folder holds another run or other files, or is not writable.
        """
        run = cls(path)
        if run.config_path.exists():
            different = list(_differences(run.config, config))
            if different:
                raise RunFolderError(
                    f"{path} holds another run, with {'; '.join(different)}. "
                    "Choose another --out, or remove that folder"
                )
            return run
        if path.exists() and not (path.is_dir() and _is_unused(path)):
            raise RunFolderError(f"{path} exists and is not a run folder; choose another --out")
        files.make_folder(path)
        files.write_text(run.config_path, json.dumps(config.to_json(), indent=2) + "\n")
        return run

    @classmethod
    def open(cls, path: Path, hub_name: str | None = None) -> RunFolder:
        """The folder of a finished run; arguments as for the class.

        Raises:
            RunFolderError: if there is none, or its training has not finished.
        """
        run = cls(path, hub_name)
        _ = run.config  # says what is wrong with it
        if not run.is_trained:
            raise RunFolderError(
                f"training in {path} has not finished: repeat its `sparsecert train` command, "
                "which goes on where it stopped"
            )
        return run

    def copied_to(self, path: Path) -> RunFolder:
        """A run folder of the same network, with nothing counted: a new one, or one made before.

        The weights are the same file where the file system can have it in two places. Several
        processes may ask for one folder at once.

        Raises:
            RunFolderError: if the folder holds another run or other files, or is not writable.
        """
        other = RunFolder(path)
        if not other.config_path.exists():
            known = {other.model_path.name, other.log_path.name}
            if path.exists() and not (path.is_dir() and _is_unused(path, known)):
                raise RunFolderError(f"{path} exists and is not a run folder; choose another one")
            files.make_folder(path)
            for source, target in (
                (self.model_path, other.model_path),
                (self.log_path, other.log_path),
            ):
                if source.exists():
                    files.link_or_copy(source, target)
            # Last, as it says that the folder is whole.
            files.write_text(other.config_path, self.config_path.read_text(encoding="utf-8"))
        other = RunFolder.open(path)
        other.check_fingerprint(self.fingerprint(), f"{self.path} holds")
        return other

    def check_fingerprint(self, expected: str, where: str) -> None:
        """Raise `RunFolderError` unless this is the network of that fingerprint.

        Args:
            expected: the fingerprint.
            where: the beginning of the sentence's other half, "RUN holds".
        """
        if self.fingerprint() != expected:
            raise RunFolderError(
                f"expected folders of one run, but {self.path} holds the model with fingerprint "
                f"{self.fingerprint()}, and {where} that with {expected}"
            )

    @cached_property
    def config(self) -> RunConfig:
        """The configuration.

        Raises:
            RunFolderError: if there is none, or it is damaged or not sparsecert's.
        """
        if not self.config_path.exists():
            raise RunFolderError(
                f"{self.path} is not a run folder: it has no config.json. "
                "Give the folder that `sparsecert train --out` wrote"
            )
        if self.hub_name is None:  # all files of that cache are links to another place in it
            self._check_links()
        try:
            values = read_object(self.config_path)
            if values.get("format") != FORMAT:
                raise RunFolderError(
                    f"{self.config_path} was not written by this version of sparsecert "
                    f'(expected "format": "{FORMAT}")'
                )
            return RunConfig.from_json(values)
        except InputError as error:
            raise RunFolderError(
                f"{self.config_path} is damaged or unreadable: {error}; train the run again"
            ) from error

    def _check_links(self) -> None:
        """Raise `RunFolderError` for a link by which a command would write outside the folder."""
        written = [self.checkpoint_path, self.log_path, self.tallies_path, self.attacks_path]
        written += [self.lock_path]
        written += [self.record_path, self.report_path.parent, *self.attacks_path.glob("*.json")]
        written += [self.shards_path, *self.shards_path.glob("*")]
        for path in written:
            if path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve()):
                raise RunFolderError(
                    f"expected {path} inside the run folder, got a link to {path.readlink()}; "
                    "put there what it points to, or remove it"
                )

    @contextlib.contextmanager
    def trained_by_nobody_else(self) -> Iterator[None]:
        """Keeps other processes from training this run; the system ends that with this process.

        Raises:
            RunFolderError: if another one is training it.
        """
        lock = FileLock(self.lock_path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunFolderError(
                f"another process is training {self.path}; wait until it has finished, or stop it"
            ) from None
        except OSError as error:
            raise files.cannot_write(self.lock_path, error) from error
        try:
            yield
            self.lock_path.unlink(missing_ok=True)
        finally:
            lock.release()

    def save_model(self, model: nn.Module) -> None:
        """Write the finished weights."""
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        with files.atomic_path(self.model_path) as temporary:
            temporary.write_bytes(save(weights))

    def load_model(self) -> nn.Module:
        """The trained network, in evaluation mode on the CPU.

        Raises:
            RunFolderError: if the weights are damaged or belong to another network.
        """
        try:
            with safe_open(self.model_path, framework="pt") as file:
                found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            with torch.device("meta"):  # where a network takes no memory, however large
                expected = self.config.build_model().state_dict()
            if found != {name: list(value.shape) for name, value in expected.items()}:
                raise RuntimeError("the layers have other names or sizes")
            model = self.config.build_model()
            model.load_state_dict(load_file(self.model_path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise RunFolderError(
                f"{self.model_path} is damaged, or does not fit config.json: {error}"
            ) from error
        return model.eval()

    def fingerprint(self) -> str:
        """A short hash of what decides a vote: weights, network, ablation, encoding, and code."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        values = self.config.to_json()
        decisive = ("architecture", "input_shape", "encoding", "encoding_mean", "encoding_std")
        network = {name: values[name] for name in decisive}
        precision = {"precision": self.config.recipe.precision}
        described = json.dumps(network | design_settings(self.config.design) | precision)
        digest = hashlib.sha256(f"{VOTES_VERSION}{described}".encode())
        digest.update(self.model_path.read_bytes())
        return digest.hexdigest()[:16]

    def training_seconds(self) -> float | None:
        """Seconds of training, that of the run it started from included; None without a log.

        Raises:
            RunFolderError: if the log is damaged.
        """
        start, epochs = self.config.start, read_log(self.log_path)
        before = 0.0 if start is None else start.seconds
        if before is None or not (epochs or start):
            return None
        return before + (epochs[-1].seconds if epochs else 0.0)

    def as_parent(self) -> ParentRun:
        """What a run that begins with this one's weights records of it."""
        return ParentRun(
            str(self.path),
            self.fingerprint(),
            self.config.num_epochs,
            self.training_seconds(),
            self.config.train_command(self.path),
        )


def _differences(found: Any, asked: Any) -> Iterator[str]:
    """Fields in which two configurations differ, those of a recipe or start one by one."""
    shortener = reprlib.Repr()
    shortener.maxtuple, shortener.maxstring, shortener.maxother = 3, 200, 200
    for field in fields(found):
        theirs, ours = getattr(found, field.name), getattr(asked, field.name)
        if theirs == ours:
            continue
        if isinstance(theirs, Recipe | ParentRun | FeatureRange) and isinstance(ours, type(theirs)):
            yield from (f"{field.name} {words}" for words in _differences(theirs, ours))
        else:
            words = [shortener.repr(value) for value in (theirs, ours)]
            now = "others" if words[0] == words[1] else words[1]
            yield f"{field.name} {words[0]} (now {now})"


def _is_unused(folder: Path, known: Collection[str] = ()) -> bool:
    """Whether nothing is in it but what a kill may have left, of files of which names are known."""
    return all(path.name.endswith(files.PARTIAL) or path.name in known for path in folder.iterdir())
