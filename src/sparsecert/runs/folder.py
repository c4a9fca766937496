"""The run folder: a trained base classifier and everything measured with it.

config.json          what was trained, on what, how
model.safetensors    the weights; present once training is complete
checkpoint.safetensors   the state of a training run that has not finished
train.jsonl          one line per epoch
tallies/*.parquet    votes, as images finish
record.json          the latest result
attacks/             attacked images, and the latest result of each attack
report/              the page
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from sparsecert import files, models
from sparsecert._version import __version__
from sparsecert.designs.uniform import UniformAblation
from sparsecert.data import FeatureRange
from sparsecert.designs.design import Design, design_settings
from sparsecert.smoothing.encoding import Encoding, MeanEncoding, NoiseEncoding, TwoChannelEncoding
from sparsecert.errors import InputError, RunFolderError
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.designs.family import Partitions
from sparsecert.designs.registry import build_design
from sparsecert.training.recipes import Recipe
from sparsecert.streams import Stage, stream

FORMAT = "sparsecert-run-2"
# Raise it when the same weights come to vote differently: another sampler, another fixed layer.
VOTES_VERSION = 1


@dataclass(frozen=True)
class Start:
    """A trained run whose weights another one begins with.

    Attributes:
        path: its folder.
        fingerprint: of its votes.
        epochs: how long it was trained, its own start included.
        seconds: the same in time; None where there is no log.
        command: that trained it.
    """

    path: str
    fingerprint: str
    epochs: int
    seconds: float | None
    command: str


@dataclass(frozen=True)
class RunConfig:
    """Everything needed to rebuild a trained base classifier and to repeat its training.

    Attributes:
        dataset: the name `sparsecert.data.load` was given.
        train_fingerprint: hash of the training split.
        input_shape: shape of one raw input, `(channels, height, width)` or `(features,)`.
        class_names: one per class.
        feature_range: how feature vectors were scaled to [0, 1]; None for images.
        architecture: a key of `sparsecert.models.ARCHITECTURES`.
        design: the ablation (or noise) the model was trained for.
        encoding: "two-channel" or "mean"; "none" for noise, which makes nothing NULL.
        encoding_mean: the mean shown as NULL, or by which channels are standardised.
        encoding_std: the standard deviation by which channels are standardised.
        recipe: the training recipe, with every override applied.
        seed: of training.
        width: of the hidden layers of a subset ensemble's members; None for other networks.
        start: the run whose weights training begins with; None for fresh ones.
    """

    dataset: str
    train_fingerprint: str
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    feature_range: FeatureRange | None
    architecture: str
    design: Design
    encoding: str
    encoding_mean: tuple[float, ...] | None
    encoding_std: tuple[float, ...] | None
    recipe: Recipe
    seed: int
    width: int | None = None
    start: Start | None = None

    def __post_init__(self) -> None:
        stream(self.seed, Stage.TRAINING_MODEL, 0)  # says what is wrong with a seed
        expected = self.design.features_of(self.input_shape)
        if self.design.num_features != expected:
            raise InputError(
                f"expected a design for the {expected} features of inputs of shape "
                f"{self.input_shape}, got one for {self.design.num_features}"
            )
        if (self.encoding == "none") != isinstance(self.design, DiscreteNoise):
            raise InputError("expected encoding none for noise, two-channel or mean for ablation")
        if not self.recipe.epochs and self.start is None:
            raise InputError("expected at least 1 epoch, or a run to start from, got neither")
        self._check_radius()
        if self.is_ensemble != (self.width is not None):
            raise InputError("expected a width for a subset ensemble, and for no other network")
        if self.is_ensemble and not isinstance(self.design, Partitions):
            raise InputError(
                f"expected the design partition for a subset ensemble, got {self.design.name}"
            )

    def _check_radius(self) -> None:
        """Raise `InputError` unless the recipe's objective can be followed."""
        radius = self.recipe.radius
        if self.recipe.objective == "cross-entropy":
            if radius is not None:
                raise InputError(f"expected a radius only with the recipe radius, got {radius}")
            return
        if not isinstance(self.design, UniformAblation) or self.start is None:
            raise InputError(
                "expected random ablation and a trained run to start from, as the recipe radius "
                "needs them"
            )
        reachable = self.design.share_thresholds() < 1
        if radius is None or not 0 <= radius < len(reachable) or not reachable[radius]:
            raise InputError(
                f"expected a radius from 0 to {int(reachable.sum()) - 1}, which is as far as "
                f"{self.design} can certify, got {radius}"
            )

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def is_ensemble(self) -> bool:
        """Whether each retained set has a network of its own."""
        return self.architecture == models.SUBSET_ENSEMBLE

    def build_encoding(self) -> Encoding:
        """The encoding the model was trained with."""
        if self.encoding == "two-channel":
            return TwoChannelEncoding(self.encoding_mean, self.encoding_std)
        if self.encoding == "mean" and self.encoding_mean is not None:
            return MeanEncoding(self.encoding_mean)
        if isinstance(self.design, DiscreteNoise):
            return NoiseEncoding(self.design.num_values)
        raise InputError(f"expected encoding to be two-channel or mean, got {self.encoding!r}")

    def build_model(self) -> nn.Module:
        """A freshly initialised network of the right shape."""
        channels = self.build_encoding().output_channels(self.input_shape[0])
        shape = (channels, *self.input_shape[1:])
        if isinstance(self.design, Partitions) and self.width is not None:
            each = math.prod(shape) // self.design.num_features
            membership, hidden = self.design.ablation.membership, (self.width, self.width)
            return models.SubsetEnsemble(membership, each, self.num_classes, hidden)
        return models.build(self.architecture, shape, self.num_classes)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the versions that wrote it."""
        versions = {"sparsecert": __version__, "torch": torch.__version__}
        return {
            "format": FORMAT,
            **asdict(self),
            **design_settings(self.design),
            "versions": {**versions, "python": platform.python_version()},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunConfig:
        """The inverse of `to_json`."""
        newer = ("width", "start")  # folders of earlier versions have none
        fields = {name: values[name] for name in cls.__dataclass_fields__ if name not in newer}
        start = values.get("start")
        fields |= {"width": values.get("width"), "start": None if start is None else Start(**start)}
        fields["design"] = build_design(values["design"], values)
        for name in ("input_shape", "class_names", "encoding_mean", "encoding_std"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        ends = fields["feature_range"]
        if ends is not None:
            fields["feature_range"] = FeatureRange(tuple(ends["low"]), tuple(ends["high"]))
        recipe = Recipe(**{**fields["recipe"], "drops": tuple(fields["recipe"].get("drops", ()))})
        return cls(**{**fields, "recipe": recipe})


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run and the two ways through its door: `create` and `open`."""

    path: Path

    @property
    def config_path(self) -> Path:
        """What was trained."""
        return self.path / "config.json"

    @property
    def model_path(self) -> Path:
        """Weights of the finished model."""
        return self.path / "model.safetensors"

    @property
    def checkpoint_path(self) -> Path:
        """State of unfinished training."""
        return self.path / "checkpoint.safetensors"

    @property
    def log_path(self) -> Path:
        """One JSON line per epoch."""
        return self.path / "train.jsonl"

    @property
    def tallies_path(self) -> Path:
        """Folder of Parquet parts."""
        return self.path / "tallies"

    @property
    def attacks_path(self) -> Path:
        """Folder of attacked images, and of the latest record of each attack."""
        return self.path / "attacks"

    @property
    def record_path(self) -> Path:
        """The latest result record."""
        return self.path / "record.json"

    @property
    def report_path(self) -> Path:
        """The report page."""
        return self.path / "report" / "index.html"

    @property
    def is_trained(self) -> bool:
        """Whether training has finished."""
        return self.model_path.exists()

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunFolder:
        """A folder for this run: a new one, or the same run's to be resumed.

        Raises:
            RunFolderError: if the folder holds another run or other files, or is not writable.
        """
        run = cls(path)
        if run.config_path.exists():
            found = run.read_config()
            different = list(_differences(found, config))
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
    def open(cls, path: Path) -> RunFolder:
        """The folder of a finished run.

        Raises:
            RunFolderError: if there is none, or its training has not finished.
        """
        run = cls(path)
        run.read_config()
        if not run.is_trained:
            raise RunFolderError(
                f"training in {path} has not finished: repeat its `sparsecert train` command, "
                "which goes on where it stopped"
            )
        return run

    def read_config(self) -> RunConfig:
        """The configuration.

        Raises:
            RunFolderError: if there is none, or it is damaged or not sparsecert's.
        """
        if not self.config_path.exists():
            raise RunFolderError(
                f"{self.path} is not a run folder: it has no config.json. "
                "Give the folder that `sparsecert train --out` wrote"
            )
        try:
            values = json.loads(self.config_path.read_text(encoding="utf-8"))
            if not isinstance(values, dict) or values.get("format") != FORMAT:
                raise RunFolderError(
                    f"{self.config_path} was not written by this version of sparsecert "
                    f'(expected "format": "{FORMAT}")'
                )
            return RunConfig.from_json(values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(
                f"{self.config_path} is damaged or unreadable: {error!r}; train the run again"
            ) from error

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
        model = self.read_config().build_model()
        try:
            model.load_state_dict(load_file(self.model_path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise RunFolderError(
                f"{self.model_path} is damaged, or does not fit config.json: {error}"
            ) from error
        return model.eval()

    def fingerprint(self) -> str:
        """A short hash of what decides a vote: weights, network, ablation, encoding, and code."""
        config = self.read_config()
        values = config.to_json()
        decisive = ("architecture", "input_shape", "encoding", "encoding_mean", "encoding_std")
        network = {name: values[name] for name in decisive}
        precision = {"precision": config.recipe.precision}
        described = json.dumps(network | design_settings(config.design) | precision)
        digest = hashlib.sha256(f"{VOTES_VERSION}{described}".encode())
        digest.update(self.model_path.read_bytes())
        return digest.hexdigest()[:16]


def _differences(found: Any, asked: Any) -> Iterator[str]:
    """Fields in which two configurations differ, those of a recipe or start one by one."""
    for field in fields(found):
        theirs, ours = getattr(found, field.name), getattr(asked, field.name)
        if theirs == ours:
            continue
        if isinstance(theirs, Recipe | Start) and isinstance(ours, type(theirs)):
            yield from (f"{field.name} {words}" for words in _differences(theirs, ours))
        else:
            yield f"{field.name} {theirs!r} (now {ours!r})"


def _is_unused(folder: Path) -> bool:
    """Whether nothing is in it but what a kill may have left of writing the configuration."""
    return all(path.name.endswith(files.PARTIAL) for path in folder.iterdir())
