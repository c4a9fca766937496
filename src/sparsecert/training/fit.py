"""Fitting a network to ablated inputs, on one CPU or on many accelerators.

Order, masks and augmentation of step s are functions of the seed, s and the number of processes, so
training that was cut off and resumed on a CPU ends in the same weights as one that was left alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparsecert.data import Dataset
from sparsecert.designs.design import Design
from sparsecert.designs.family import Partitions
from sparsecert.devices import autocast
from sparsecert.errors import RunFolderError
from sparsecert.models.subset_ensemble import BallotNetwork
from sparsecert.streams import Stage, stream
from sparsecert.training.batches import Batches
from sparsecert.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from sparsecert.training.objective import build_loss
from sparsecert.training.recipes import Recipe


def fit(
    model: nn.Module,
    dataset: Dataset,
    design: Design,
    encoding: Callable[[Tensor, Tensor], Tensor],
    recipe: Recipe,
    seed: int,
) -> nn.Module:
    """Train a network in place; see `Training`.

    Returns:
        The network, in evaluation mode on the CPU.
    """
    for _ in Training(model, dataset, design, encoding, recipe, seed):
        pass
    return model.cpu().eval()


@dataclass
class Training:
    """A network in training. To iterate over it is to train: each item is a step that was done.

    Where the recipe averages weights, the network has the averages once all steps are done.

    Attributes:
        model: changed in place, and moved to the device. A `BallotNetwork` is shown whole inputs,
            of which it selects what each set retains itself.
        dataset: the training split.
        design: draws what inputs are seen through.
        encoding: shows it to the network, as an `Encoding` does.
        recipe: how to train.
        seed: of order, masks, augmentation, dropout.
        progress: where it stands.
        batches: of all steps, and how many there are.
        accelerator: the device, and how many processes take part.

    Raises:
        InputError: for a recipe that the design does not go with.
    """

    model: nn.Module
    dataset: Dataset
    design: Design
    encoding: Callable[[Tensor, Tensor], Tensor]
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        ensemble = isinstance(self.model, BallotNetwork)
        shown = Partitions(self.design.num_entries, num_sets=1) if ensemble else self.design
        self.accelerator = Accelerator()
        self.progress = Progress(num_processes=self.accelerator.num_processes)
        self.batches = Batches(
            self.dataset, shown, self.encoding, self.recipe, self.seed, self.accelerator
        )
        self._loss = build_loss(self.recipe, self.design)
        self._network, self._optimizer = self.accelerator.prepare(
            self.model, self.recipe.build_optimizer(self.model)
        )
        self._models = {"model": self.model}
        self._average: AveragedModel | None = None
        if self.recipe.weight_average:
            mean = get_ema_multi_avg_fn(self.recipe.weight_average)  # type: ignore[no-untyped-call]
            self._average = AveragedModel(self.model, multi_avg_fn=mean, use_buffers=True)
            self._models["average"] = self._average

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    def save(self, path: Path) -> None:
        """Write where it stands, for `resume`."""
        save_checkpoint(path, self._models, self._optimizer, self.progress)

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            RunFolderError: if the file is damaged, or of another network or number of processes.
        """
        self.progress = load_checkpoint(path, self._models, self._optimizer)
        if self.progress.num_processes != self.accelerator.num_processes:
            raise RunFolderError(
                f"training was begun with {self.progress.num_processes} processes; go on with as "
                f"many, not {self.accelerator.num_processes}, or remove {path}"
            )

    def __iter__(self) -> Iterator[Progress]:
        # The few images of a step that is for certificates are no basis for normalising.
        self._network.train(self.recipe.radius is None)
        started = time.monotonic() - self.progress.seconds
        with torch.random.fork_rng():
            while self.progress.step < self.batches.num_steps:
                self._do_step()
                self.progress.seconds = time.monotonic() - started
                yield self.progress
        if self._average is not None:
            self.model.load_state_dict(self._average.module.state_dict())

    def _do_step(self) -> None:
        progress, step = self.progress, self.progress.step
        if step % self.batches.steps_per_epoch == 0:
            progress.start_epoch()
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate_at(step, self.batches.num_steps)
        torch.manual_seed(_torch_seed(self.seed, step + 1))  # for dropout and its like
        encoded, targets = self.batches.at(step)
        with autocast(self.recipe.precision, encoded.device):
            logits: Tensor = self._network(encoded)
        logits = logits.float().flatten(0, -2)  # an ensemble casts a ballot for each of its sets
        targets = targets.repeat_interleave(len(logits) // len(targets), dim=0)
        loss = self._loss(logits, targets)
        self.accelerator.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update_parameters(self.model)

        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        correct = (logits.argmax(dim=1) == labels).sum().float()
        seen = torch.stack((loss.detach() * len(labels), correct))
        loss_sum, num_correct = self.accelerator.reduce(seen, reduction="sum").tolist()
        progress.step = step + 1
        progress.loss_sum += loss_sum
        progress.correct += round(num_correct)
        progress.examples += len(labels) * self.accelerator.num_processes


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Networks are initialised by the seed of their training; torch's own state is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(_torch_seed(seed, 0))
        yield


def _torch_seed(seed: int, step: int) -> int:
    return int(stream(seed, Stage.TRAINING_MODEL, step).integers(2**63))
