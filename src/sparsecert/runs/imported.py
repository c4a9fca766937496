"""What `sparsecert import` does: from a checkpoint of the paper's authors to a run folder.

The file is what their scripts save with `torch.save`: a dictionary with the parameters under "net"
and the last epoch, counted from 0, under "epoch". It is read as `torch.load` reads weights only,
which runs nothing that is in it.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsecert import data
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.models import PublishedArchitecture, published
from sparsecert.runs.config import ImportedCheckpoint, RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import standardisation
from sparsecert.training.recipes import recipe_for

RECIPE = "imported"
_MOST_BYTES = 2**31
# What the authors' scripts show as NULL where it is a mean, by shape of the images.
_MEANS = {(1, 28, 28): (0.1307,), (3, 32, 32): (0.4914, 0.4822, 0.4465)}


def import_run(
    checkpoint: Path,
    dataset_name: str,
    out: Path,
    architecture: PublishedArchitecture,
    num_retained: int,
) -> RunFolder:
    """Make a run folder of a checkpoint.

    The encoding is told by the channels that the network takes. The training split of the data set
    is only looked at for the shape of its images and its classes, whose order must be that of the
    network's outputs.

    Args:
        checkpoint: the file.
        dataset_name: that the network was trained on, as `sparsecert.data.load` takes it.
        out: the run folder.
        architecture: of the network.
        num_retained: k, pixels that each ballot retains.

    Raises:
        InputError: for a file that holds something else, or a network for other images.
        RunFolderError: if `out` holds another run.
    """
    theirs, epochs = _read(checkpoint)
    weights = published.renamed(theirs, architecture)
    dataset = data.load(dataset_name, "train")
    shape = dataset.input_shape
    if len(shape) != 3:
        raise InputError(f"expected images, which a {architecture} takes, got {shape} features")
    channels = published.input_channels(weights, architecture)
    encoding = "mean" if channels == shape[0] else "two-channel"
    mean, std = standardisation(dataset, "two-channel")
    if encoding == "mean":
        if shape not in _MEANS:
            raise InputError(
                f"expected images of MNIST or CIFAR-10 for a network with the mean encoding, whose "
                f"means the authors' scripts hold, got images of shape {shape}"
            )
        mean, std = _MEANS[shape], None
    recipe = recipe_for("paper", shape, large=dataset.is_large)
    config = RunConfig(
        dataset=data.lasting_name(dataset_name),
        train_fingerprint=dataset.fingerprint(),
        input_shape=shape,
        class_names=dataset.class_names,
        feature_range=None,
        architecture=architecture,
        design=UniformAblation(dataset.num_features, num_retained),
        encoding=encoding,
        encoding_mean=mean,
        encoding_std=std,
        recipe=replace(recipe, name=RECIPE, epochs=epochs),
        seed=0,
        imported=ImportedCheckpoint(str(checkpoint), _sha256(checkpoint)),
    )
    model = config.build_model()
    _fill(model, weights, config)
    run = RunFolder.create(out, config)
    if not run.is_trained:
        run.save_model(model)
    return run


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    """The parameters by the authors' names, and the number of epochs; 0 where it is not said."""
    if not path.is_file():
        raise InputError(f"expected a checkpoint file, got {path}, which is none")
    if _num_bytes(path) > _MOST_BYTES:
        raise InputError(f"expected a checkpoint of at most {_MOST_BYTES} bytes, got {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for files that it cannot read
        raise InputError(
            f"cannot read {path} ({type(error).__name__}); expected a file that torch.save wrote, "
            "of tensors, numbers and texts alone"
        ) from error
    weights = content.get("net") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights or not all(map(_is_entry, weights.items())):
        raise InputError(
            f"expected a dictionary with the network's parameters under 'net' in {path}, as the "
            "paper's authors published them, got something else"
        )
    epoch = content.get("epoch", -1)
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < -1:
        raise InputError(f"expected the last epoch under 'epoch' in {path}, got {epoch!r}")
    return weights, epoch + 1


def _is_entry(entry: tuple[Any, Any]) -> bool:
    name, value = entry
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided


def _num_bytes(path: Path) -> int:
    """Bytes of a file, unpacked if it is packed."""
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):  # as torch wrote them before 1.6
        return size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(part.file_size for part in archive.infolist()))
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(model: nn.Module, weights: Mapping[str, Tensor], config: RunConfig) -> None:
    """Put parameters in their places; raises `InputError` where they are not the network's."""
    network = (
        f"expected the network {config.architecture} for {config.encoding} encoded images of shape "
        f"{config.input_shape} and {config.num_classes} classes"
    )
    expected = model.state_dict()
    if other := sorted(set(expected) ^ set(weights)):
        what = "without" if other[0] in expected else "with"
        raise InputError(f"{network}, got one {what} the parameter {other[0]}")
    for name, value in weights.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise InputError(
                f"{network}, whose parameter {name} is {expected[name].dtype} of shape "
                f"{tuple(expected[name].shape)}, got {value.dtype} of shape {tuple(value.shape)}"
            )
    model.load_state_dict(weights)
