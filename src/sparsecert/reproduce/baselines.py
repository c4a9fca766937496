"""Table 2's classifiers that are not smoothed: what Pointwise does to models without a guarantee.

Small networks, trained in minutes on a CPU; a killed training begins anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from sparsecert import data, files, progress
from sparsecert.attacks import PlainClassifier
from sparsecert.attacks.campaign import Target
from sparsecert.data import Dataset
from sparsecert.devices import best_device
from sparsecert.errors import RunFolderError
from sparsecert.models.architectures import MLP, PaperCNN
from sparsecert.reproduce.analysis_by_synthesis import AnalysisBySynthesis, train_autoencoders
from sparsecert.streams import Stage, stream

_BATCH = 128
_RATE = 1e-3
_FORMAT = "sparsecert-baseline-1"


@dataclass(frozen=True)
class Baseline:
    """How a baseline is made.

    Attributes:
        epochs: passes over the training set; 0 where nothing is trained.
        binarised: inputs are rounded to black and white first.
        epsilon: largest change of a pixel in adversarial training; 0 is plain training.
        attack_steps: projected gradient steps per training step.
    """

    epochs: int
    binarised: bool = False
    epsilon: float = 0.0
    attack_steps: int = 7


BASELINES = {
    "cnn": Baseline(epochs=10),
    "binarised-cnn": Baseline(epochs=10, binarised=True),
    "nearest-neighbour": Baseline(epochs=0),
    "linf-cnn": Baseline(epochs=10, epsilon=0.3),
    "abs": Baseline(epochs=30),
    "binarised-abs": Baseline(epochs=30, binarised=True),
}


class Binarised(nn.Module):
    """A network behind a threshold of one half.

    Args:
        network: takes black and white images.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The network's logits; no gradient flows to x."""
        logits: Tensor = self.network((x > 0.5).to(x.dtype))
        return logits


class NearestNeighbour(nn.Module):
    """Scores classes by minus the squared Euclidean distance to their nearest training image.

    Args:
        images: `(size, ...)` training images.
        labels: `(size,)` classes.
        num_classes: number of classes.
    """

    def __init__(self, images: Tensor, labels: Tensor, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.images, self.labels = nn.Buffer(images.flatten(1)), nn.Buffer(labels)
        self.square = nn.Buffer((self.images**2).sum(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, classes)` scores."""
        flat = x.flatten(1)
        minus = 2 * flat @ self.images.T - self.square - (flat**2).sum(dim=1, keepdim=True)
        scores = minus.new_full((len(x), self.num_classes), -torch.inf)
        return scores.scatter_reduce(1, self.labels.expand(len(x), -1), minus, "amax")


def baseline_target(
    name: str, dataset_name: str, folder: Path, epochs: int | None, *, show_progress: bool
) -> Target:
    """A baseline to attack, trained unless that is done.

    Args:
        name: a key of `BASELINES`.
        dataset_name: whose training split.
        folder: of the weights and the attacks.
        epochs: instead of the baseline's.
        show_progress: draw a progress bar.

    Raises:
        RunFolderError: if the folder holds another baseline, or is damaged.
    """
    baseline = BASELINES[name]
    if epochs is not None and baseline.epochs:
        baseline = replace(baseline, epochs=epochs)
    train = data.load(dataset_name, "train")
    described = {"format": _FORMAT, "name": name, **asdict(baseline), "data": train.fingerprint()}
    model = _model(name, train)
    if baseline.epochs:
        _train_or_load(model, baseline, train, folder, described, show_progress)
    digest = hashlib.sha256(json.dumps(described).encode())
    for key, value in model.state_dict().items():
        digest.update(key.encode())
        digest.update(value.cpu().numpy().tobytes())
    victim = PlainClassifier(model.to(best_device()), train.num_classes)
    return Target(partial(_as_it_is, victim), digest.hexdigest()[:16], folder / "attacks")


def _as_it_is(victim: PlainClassifier) -> PlainClassifier:
    return victim


def _model(name: str, train: Dataset) -> nn.Module:
    if name == "nearest-neighbour":
        images = train.batch(np.arange(len(train)))
        return NearestNeighbour(images, torch.from_numpy(train.labels), train.num_classes)
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(0, Stage.BASELINE_TRAINING, 0).integers(2**63)))
        if name.endswith("abs"):
            network: nn.Module = AnalysisBySynthesis(train.num_features, train.num_classes)
        elif train.input_shape[1:] == (28, 28):
            network = PaperCNN(train.input_shape[0], train.num_classes)
        else:
            network = MLP(int(np.prod(train.input_shape)), train.num_classes)
    return Binarised(network) if BASELINES[name].binarised else network


def _train_or_load(
    model: nn.Module,
    baseline: Baseline,
    train: Dataset,
    folder: Path,
    described: dict[str, object],
    show_progress: bool,
) -> None:
    weights, config = folder / "model.safetensors", folder / "baseline.json"
    if weights.exists():
        try:
            found = json.loads(config.read_text(encoding="utf-8"))
            model.load_state_dict(load_file(weights))
        except (OSError, ValueError, SafetensorError, RuntimeError) as error:
            raise RunFolderError(f"{folder} is damaged ({error!r}); remove it") from error
        if found != described:
            raise RunFolderError(f"{folder} holds another baseline, {found}; remove it")
        return
    files.make_folder(folder)
    files.write_text(config, json.dumps(described, indent=2) + "\n")
    network = model.network if isinstance(model, Binarised) else model
    if isinstance(network, AnalysisBySynthesis):
        epochs, binarised = baseline.epochs, baseline.binarised
        train_autoencoders(network, train, epochs, binarised=binarised, show_progress=show_progress)
    else:
        _train(model, baseline, train, show_progress)
    with files.atomic_path(weights) as temporary:
        temporary.write_bytes(save({name: v.cpu() for name, v in model.state_dict().items()}))


def _train(model: nn.Module, baseline: Baseline, train: Dataset, show_progress: bool) -> None:
    device = best_device()
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    steps = len(train) // min(_BATCH, len(train))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * baseline.epochs)
    with progress.bar(show_progress) as bar:
        task = bar.add_task("training the baseline", total=steps * baseline.epochs)
        for epoch in range(baseline.epochs):
            generator = stream(0, Stage.BASELINE_TRAINING, epoch + 1)
            order = generator.permutation(len(train))
            for step in range(steps):
                rows = order[step * _BATCH : (step + 1) * _BATCH]
                x = train.batch(rows).to(device)
                labels = torch.from_numpy(train.labels[rows]).to(device)
                if baseline.epsilon:
                    # The allowed change grows over the first epoch; from the start it is too hard.
                    epsilon = baseline.epsilon * min(1.0, epoch + (step + 1) / steps)
                    x = _worst_nearby(model, x, labels, epsilon, baseline.attack_steps, generator)
                loss = functional.cross_entropy(model(x), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                bar.update(task, advance=1)
    model.cpu().eval()


def _worst_nearby(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    epsilon: float,
    steps: int,
    generator: np.random.Generator,
) -> Tensor:
    """Projected gradient ascent on the loss within epsilon of each pixel (Madry et al. 2018)."""
    start = torch.from_numpy(generator.uniform(-1, 1, size=x.shape).astype(np.float32))
    nearby = (x + epsilon * start.to(x.device)).clamp(0, 1)
    for _ in range(steps):
        nearby.requires_grad_()
        loss = functional.cross_entropy(model(nearby), labels)
        (gradient,) = torch.autograd.grad(loss, nearby)
        moved = nearby.detach() + 2.5 * epsilon / steps * gradient.sign()
        nearby = torch.minimum(torch.maximum(moved, x - epsilon), x + epsilon).clamp(0, 1)
    return nearby.detach()
