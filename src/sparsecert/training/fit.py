"""Training a base classifier on ablated inputs, on one CPU or on many accelerators.

    sparsecert train --data mnist --retained 45 --out runs/mnist-k45
    accelerate launch -m sparsecert train ...      # several devices or machines

Order, masks and augmentation of step s are functions of the seed, s and the number of processes, so
a killed run that is started again on a CPU ends in the same weights as one that was left alone.
Processes on several machines need the run folder on a disk they share.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sparsecert import files, progress
from sparsecert.data import Dataset
from sparsecert.designs.design import sampled
from sparsecert.devices import autocast
from sparsecert.errors import InputError, RunFolderError
from sparsecert.runs.folder import RunConfig, RunFolder
from sparsecert.streams import Stage, stream
from sparsecert.training.augmentation import AUGMENTATIONS
from sparsecert.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from sparsecert.training.objective import certificate_loss

CHECKPOINT_SECONDS = 60.0


def train(
    run: RunFolder, config: RunConfig, dataset: Dataset, *, show_progress: bool = False
) -> nn.Module:
    """Train the run's base classifier, or finish training that was cut off.

    Writes a checkpoint every minute and a line of `train.jsonl` per epoch; at the end the weights,
    and the checkpoint goes.

    Args:
        run: the folder.
        config: what to train; `dataset` must be its training split.
        dataset: the training split.
        show_progress: draw a progress bar with loss and accuracy on ablated inputs.

    Returns:
        The trained network, in evaluation mode on the CPU.
    """
    if dataset.num_classes != config.num_classes or dataset.input_shape != config.input_shape:
        raise InputError(
            f"expected inputs of shape {config.input_shape} in {config.num_classes} classes, "
            f"got {dataset.input_shape} in {dataset.num_classes}"
        )
    if run.is_trained:
        return run.load_model()
    with torch.random.fork_rng():
        torch.manual_seed(_torch_seed(config.seed, 0))
        _train(run, config, dataset, show_progress)
    return run.load_model()


def _train(run: RunFolder, config: RunConfig, dataset: Dataset, show_progress: bool) -> None:
    recipe = config.recipe
    model = config.build_model()
    if config.start is not None and not run.checkpoint_path.exists():
        model.load_state_dict(RunFolder.open(Path(config.start.path)).load_model().state_dict())
    optimizer = recipe.build_optimizer(model)
    accelerator = Accelerator()
    state = Progress(num_processes=accelerator.num_processes)
    if run.checkpoint_path.exists():
        state = load_checkpoint(run.checkpoint_path, model, optimizer)
    if state.num_processes != accelerator.num_processes:
        raise RunFolderError(
            f"training in {run.path} was begun with {state.num_processes} processes; go on with as "
            f"many, not {accelerator.num_processes}, or remove {run.checkpoint_path}"
        )
    _forget_lines_after(run, state.step)

    on_device, optimizer = accelerator.prepare(model, optimizer)
    batches = Batches(config, dataset, accelerator)
    # The few images of a step that is for certificates are no basis for normalising.
    on_device.train(recipe.radius is None)
    started = time.monotonic() - state.seconds
    saved = time.monotonic()
    with progress.bar(show_progress and accelerator.is_main_process) as bar:
        task = bar.add_task("training", total=batches.num_steps, completed=state.step)
        while state.step < batches.num_steps:
            if state.step % batches.steps_per_epoch == 0:
                state.start_epoch()
            learning_rate = recipe.learning_rate_at(state.step, batches.num_steps)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            torch.manual_seed(_torch_seed(config.seed, state.step + 1))  # for dropout and its like
            encoded, labels = batches.at(state.step)
            with autocast(recipe.precision, encoded.device):
                logits = on_device(encoded)
            if config.is_ensemble:  # each member is a classifier of its own
                logits = logits.movedim(1, 2)
                labels = labels[:, None].expand(-1, logits.shape[2])
            loss = _loss(config, logits, labels)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()

            state.step += 1
            seen = torch.stack(
                (loss.detach() * labels.numel(), (logits.argmax(dim=1) == labels).sum().float())
            )
            loss_sum, correct = accelerator.reduce(seen, reduction="sum").tolist()
            state.loss_sum += loss_sum
            state.correct += round(correct)
            state.examples += labels.numel() * accelerator.num_processes
            state.seconds = time.monotonic() - started
            bar.update(
                task,
                advance=1,
                description=f"epoch {(state.step - 1) // batches.steps_per_epoch + 1}"
                f"/{recipe.epochs}  loss {state.loss_sum / state.examples:.3f}"
                f"  ablated accuracy {state.correct / state.examples:.3f}",
            )
            if not accelerator.is_main_process:
                continue
            if state.step % batches.steps_per_epoch == 0:
                _log_epoch(run, state, batches.steps_per_epoch, learning_rate)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_checkpoint(run.checkpoint_path, model, optimizer, state)
                saved = time.monotonic()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        run.save_model(accelerator.unwrap_model(on_device).cpu())
        run.checkpoint_path.unlink(missing_ok=True)
    accelerator.wait_for_everyone()


def _loss(config: RunConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """What to minimise on the ballots of one step, those of an example side by side."""
    recipe = config.recipe
    if recipe.radius is None:
        return functional.cross_entropy(logits.float(), labels)
    masks = recipe.masks_per_example
    threshold = float(sampled(config.design).share_thresholds()[recipe.radius])
    by_image = logits.view(-1, masks, logits.shape[1])
    return certificate_loss(by_image, labels[::masks], threshold)


class Batches:
    """The encoded minibatch of every step, this process's share of it.

    Args:
        config: of the run.
        dataset: the training split.
        accelerator: tells the share and the device.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, accelerator: Accelerator) -> None:
        self.config, self.dataset, self.accelerator = config, dataset, accelerator
        share = accelerator.num_processes
        self.batch_size = max(1, min(config.recipe.batch_size, len(dataset)) // share) * share
        self.steps_per_epoch = len(dataset) // self.batch_size
        self.num_steps = self.steps_per_epoch * config.recipe.epochs
        self.design, self.encoding = config.design, config.build_encoding()
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))
        self._decoder = ThreadPoolExecutor(1)
        self._decoding: dict[int, Future[Tensor]] = {}

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Encoded inputs and labels of one step, on the device, as many of an example as masks."""
        seed, recipe = self.config.seed, self.config.recipe
        device = self.accelerator.device
        rows = self._rows(step)
        shared = recipe.mask_per == "batch"
        masks, each = stream(seed, Stage.TRAINING_MASKS, step), recipe.masks_per_example
        if self.config.is_ensemble:
            mask = np.ones((len(rows), self.design.num_features), dtype=np.bool_)
        elif shared:
            mask = np.repeat(self.design.draw(masks, 1), len(rows), axis=0)
        else:
            mask = self.design.draw(masks, self.batch_size * each)
            mask = mask.reshape(self.batch_size, each, -1)[self._mine].reshape(-1, mask.shape[1])
        if recipe.augmentation == "random-part":
            inputs = self._random_parts(step).to(device)
        else:
            augment = AUGMENTATIONS[recipe.augmentation]
            inputs = augment(self.dataset.batch(rows).to(device), self._generator(step))
        labels = torch.from_numpy(self.dataset.labels[rows]).to(device)
        inputs, labels = (part.repeat_interleave(each, dim=0) for part in (inputs, labels))
        return self.encoding(inputs, torch.from_numpy(mask).to(device)), labels

    @property
    def _mine(self) -> slice:
        """This process's examples of a minibatch."""
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def _rows(self, step: int) -> NDArray[np.int64]:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = stream(self.config.seed, Stage.TRAINING_ORDER, epoch)
            self._order = (epoch, generator.permutation(len(self.dataset)))
        start = position * self.batch_size
        return self._order[1][start : start + self.batch_size][self._mine]

    def _generator(self, step: int) -> np.random.Generator:
        index = step * self.accelerator.num_processes + self.accelerator.process_index
        return stream(self.config.seed, Stage.TRAINING_AUGMENTATION, index)

    def _random_parts(self, step: int) -> Tensor:
        """Decoded random parts of this step's images; those of the next are started on."""
        decoding = self._decoding.pop(step, None) or self._start_decoding(step)
        if step + 1 < self.num_steps:
            self._decoding[step + 1] = self._start_decoding(step + 1)
        return decoding.result()

    def _start_decoding(self, step: int) -> Future[Tensor]:
        rows, generator = self._rows(step), self._generator(step)
        return self._decoder.submit(self.dataset.random_crops, rows, generator)


def _torch_seed(seed: int, step: int) -> int:
    return int(stream(seed, Stage.TRAINING_MODEL, step).integers(2**63))


def _log_epoch(run: RunFolder, state: Progress, steps_per_epoch: int, rate: float) -> None:
    line = {
        "epoch": state.step // steps_per_epoch,
        "step": state.step,
        "loss": state.loss_sum / state.examples,
        "ablated_accuracy": state.correct / state.examples,
        "learning_rate": rate,
        "seconds": round(state.seconds, 1),
    }
    with run.log_path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _forget_lines_after(run: RunFolder, step: int) -> None:
    """Drop log lines of epochs that a resumed run is going to repeat."""
    if run.log_path.exists():
        lines = run.log_path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        files.write_text(run.log_path, "".join(kept))
