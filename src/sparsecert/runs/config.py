"""What `config.json` of a run folder holds: everything that decides what is trained."""

from __future__ import annotations

import math
import platform
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsecert._version import __version__
from sparsecert.data import Dataset, FeatureRange
from sparsecert.data.columns import shortened
from sparsecert.data.dataset import MOST_CLASSES
from sparsecert.designs.bands import Bands
from sparsecert.designs.design import Design, design_settings, options
from sparsecert.designs.family import FamilyDesign, family_of
from sparsecert.designs.registry import check_design
from sparsecert.designs.uniform import UniformAblation, random_ablation
from sparsecert.designs.units import parse_units
from sparsecert.errors import InputError
from sparsecert.json_values import as_type, fields_of
from sparsecert.models import architectures as models
from sparsecert.smoothing.encoding import Encoding, MeanEncoding, NoiseEncoding, TwoChannelEncoding
from sparsecert.streams import Stage, stream
from sparsecert.training.objective import build_loss
from sparsecert.training.recipes import Recipe, recipe_for

FORMAT = "sparsecert-run-2"

# Far beyond any run: a configuration with more would hang, or fill the memory.
_MOST = {
    "num_features": 2**24,
    "num_retained": 2**24,
    "width": 2**14,
    "epochs": 2**20,
    "batch_size": 2**20,
    "masks_per_example": 2**16,
}
_MOST_NUMBERS = 2**24  # of an input
_MOST_PLACES, _MOST_BLOCKS = 2**26, 2**18  # of all sets in inputs; of all partitions
_MOST_FEATURES_FOR_A_RADIUS = 2**16  # whose thresholds are computed when a configuration is read


@dataclass(frozen=True)
class ParentRun:
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
class ImportedCheckpoint:
    """A file of someone else's training, which the weights come from.

    Attributes:
        path: of the file.
        sha256: of its bytes.
    """

    path: str
    sha256: str


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
        imported: where the weights come from, if not from training here. Of the recipe only the
            epochs are known then (0 if not even these), and of the seed nothing.
        units_given: what a radius counts and what nobody can attack, in the words of the command.
        held_out: training examples that are not trained on, for what is to be chosen on examples
            that the network has not seen (`data.held_out`).
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
    start: ParentRun | None = None
    imported: ImportedCheckpoint | None = None
    units_given: tuple[str | None, str | None] = (None, None)
    held_out: int = 0

    def __post_init__(self) -> None:
        _check_sizes(vars(self), design_settings(self.design))
        stream(self.seed, Stage.TRAINING_MODEL, 0)  # says what is wrong with a seed
        expected, found = self.design.features_of(self.input_shape), self.design.num_entries
        if found != expected:
            raise InputError(
                f"expected a design for the {expected} features of inputs of shape "
                f"{self.input_shape}, got one for {found}"
            )
        self._check_geometry()
        if self.encoding not in self.design.encodings:
            raise InputError(
                f"expected the encoding to be {' or '.join(self.design.encodings)}, as the design "
                f"{self.design.name} needs it, got {self.encoding!r}"
            )
        if not (self.recipe.epochs or self.start or self.imported):
            raise InputError("expected at least 1 epoch, or a run to start from, got neither")
        if self.is_ensemble != (self.width is not None):
            raise InputError("expected a width for a subset ensemble, and for no other network")
        if self.is_ensemble and not isinstance(self.design, FamilyDesign):
            raise InputError(
                "expected the design partition or bands for a subset ensemble, got "
                f"{self.design.name}"
            )
        if self.architecture == models.BAND_NETWORK and not isinstance(self.design, Bands):
            raise InputError(
                f"expected the design bands for a band network, got {self.design.name}"
            )
        if self.recipe.retained_range is not None:
            random_ablation(self.design, "a recipe with a retained_range")
        build_loss(self.recipe, self.design)  # says what is wrong with a radius
        if self.recipe.objective == "radius" and self.start is None:
            raise InputError("expected a trained run to start from, which the recipe radius needs")

    def _check_geometry(self) -> None:
        """What patches and units are is read from the design, and shown in the words given."""
        shape = getattr(self.design, "image_shape", None)
        if shape is not None and tuple(shape) != self.input_shape[1:]:
            raise InputError(
                f"expected a design for inputs of shape {self.input_shape}, got one for images of "
                f"{shape[0]} by {shape[1]}"
            )
        if not isinstance(self.design, UniformAblation) or len(self.input_shape) != 3:
            return  # columns may have been named by what only their data set knows
        owner = parse_units(*self.units_given, self.input_shape)
        if self.design.units != (None if owner is None else tuple(owner.tolist())):
            raise InputError(
                f"expected the units that units_given names, {self.units_given}, got others"
            )

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def is_ensemble(self) -> bool:
        """Whether each retained set has a network of its own."""
        return self.architecture == models.SUBSET_ENSEMBLE

    @property
    def num_epochs(self) -> int:
        """Of training, those of the run it starts from included."""
        return self.recipe.epochs + (0 if self.start is None else self.start.epochs)

    def check_dataset(self, dataset: Dataset, why: str) -> None:
        """Raise `InputError` unless inputs and classes are those of the training split.

        Args:
            dataset: a split.
            why: they have to be, for messages.
        """
        if dataset.input_shape != self.input_shape:
            raise InputError(
                f"expected inputs of shape {self.input_shape}, {why}, got "
                f"{dataset.input_shape} from the {dataset.split} split of {dataset.name!r}"
            )
        if dataset.class_names != self.class_names:
            raise InputError(
                f"expected the classes {shortened(self.class_names)}, {why}, got "
                f"{shortened(dataset.class_names)} from the {dataset.split} split of "
                f"{dataset.name!r}"
            )

    def build_encoding(self) -> Encoding:
        """The encoding the model was trained with."""
        if self.encoding == "none":
            return NoiseEncoding(design_settings(self.design)["num_values"])
        if self.encoding == "mean":
            return MeanEncoding(self.encoding_mean or ())
        return TwoChannelEncoding(self.encoding_mean, self.encoding_std)

    def build_model(self) -> nn.Module:
        """A freshly initialised network of the right shape."""
        channels = self.build_encoding().output_channels(self.input_shape[0])
        shape = (channels, *self.input_shape[1:])
        if self.architecture == models.BAND_NETWORK and isinstance(self.design, Bands):
            crops, units = self.design.crops, self.design.num_features
            return models.BandNetwork(crops, math.prod(shape) // units, units, self.num_classes)
        if self.width is None:
            return models.build(self.architecture, shape, self.num_classes)
        family = family_of(self.design)
        each = math.prod(shape) // family.num_entries
        hidden = (self.width, self.width)
        return models.SubsetEnsemble(family.membership, each, self.num_classes, hidden)

    def train_command(self, path: Path) -> str:
        """The commands that repeat the training into this folder, those before it included."""
        if self.imported is not None:
            return command(
                "import",
                self.imported.path,
                architecture=self.architecture,
                data=self.dataset,
                retained=getattr(self.design, "num_retained", None),
                out=path,
            )
        recipe, start, taken = self.recipe, self.start, options(self.design)
        large = recipe.augmentation == "random-part"
        usual = recipe_for(recipe.name, self.input_shape, large=large)
        many = "num_retained" in taken and recipe.retained_range != usual.retained_range
        words = command(
            "train",
            data=self.dataset,
            design=self.design.name,
            **{flag: getattr(self.design, name) for name, (flag, _, _) in taken.items()},
            encoding=None if self.encoding == "none" else self.encoding,
            width=self.width,
            out=path,
            recipe=recipe.name,
            model=self.architecture,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            augmentation=None if recipe.augmentation == usual.augmentation else recipe.augmentation,
            mixing=None if recipe.mixing == "none" else recipe.mixing,
            weight_average=recipe.weight_average or None,
            retained_range=(recipe.retained_range or (1, 1)) if many else None,
            seed=self.seed,
            radius=recipe.radius,
            start=None if start is None else start.path,
            units=self.units_given[0],
            protect=self.units_given[1],
            held_out=self.held_out or None,
        )
        return words if start is None else f"{start.command} && {words}"

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
        """The inverse of `to_json`; what folders of earlier versions lack has its default.

        Raises:
            InputError: for what is missing, of another type, or larger than any run's.
        """
        kind = check_design(as_type(str, values.get("design"), "design"))
        known = {name: value for name, value in values.items() if value is not None}
        settings = fields_of(kind, known)
        given = fields_of(cls, values, design=None)
        _check_sizes(given, settings)  # the sets of a family are built with it
        return cls(**given | {"design": kind(**settings)})


def _check_sizes(config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise `InputError` for sizes that do not go together, or are far beyond any run.

    Args:
        config: the fields of a configuration.
        settings: of its design.
    """
    shape, names, ends = config["input_shape"], config["class_names"], config["feature_range"]
    if len(shape) not in (1, 3) or min(shape) < 1 or math.prod(shape) > _MOST_NUMBERS:
        raise InputError(
            "expected input_shape as (features,) or (channels, height, width), of at most "
            f"{_MOST_NUMBERS} numbers, got {shape}"
        )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise InputError(f"expected from 2 to {MOST_CLASSES} classes, got {len(names)}")
    lists = {name: config[name] for name in ("encoding_mean", "encoding_std")}
    lists |= {} if ends is None else asdict(ends)
    for name, numbers in lists.items():
        if numbers is not None and len(numbers) != shape[0]:
            raise InputError(
                f"expected {name} with {shape[0]} values, one for each channel or feature, "
                f"got {len(numbers)}"
            )
    recipe = config["recipe"]
    sizes = {"width": config.get("width"), **asdict(recipe), **settings}
    for name, most in _MOST.items():
        if sizes.get(name) is not None and not sizes[name] <= most:
            raise InputError(f"expected {name} of at most {most}, got {sizes[name]}")
    d = settings["num_features"]
    if "num_sets" in settings:
        n, copies = settings["num_sets"], settings.get("copies", 1)
        if copies * n * d > _MOST_PLACES or copies * d > n * _MOST_BLOCKS:
            raise InputError(f"expected fewer sets, copies or features, got {settings}")
    if recipe.objective == "radius" and d > _MOST_FEATURES_FOR_A_RADIUS:
        raise InputError(
            f"expected at most {_MOST_FEATURES_FOR_A_RADIUS} features to train for a radius, "
            f"got {d}"
        )


def command(name: str, *arguments: object, **options: object) -> str:
    """A command line of sparsecert; options that are None are left out.

    Of a tuple, each element is a word of its own.
    """
    words: list[object] = ["sparsecert", name, *arguments]
    for option, value in options.items():
        if value is not None:
            several = value if isinstance(value, tuple) else (value,)
            words += [f"--{option.replace('_', '-')}", *several]
    return shlex.join(map(str, words))
