"""A base classifier as it casts ballots, whichever retained sets they are cast on."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparsecert.designs.design import Units
from sparsecert.devices import autocast, check_devices, check_precision
from sparsecert.errors import InputError, check_num_samples
from sparsecert.smoothing.encoding import Encoding, check_encoding, resolve_encoding
from sparsecert.smoothing.modes import evaluating
from sparsecert.smoothing.parallel import Compiled, replicas
from sparsecert.smoothing.probe import NUM_BALLOTS, check_ballots

# Encoded inputs of one pass through the network take at most this much memory. Activations come
# on top: a few times as much in a typical convolutional network. On a CPU larger ones fall out of
# its caches, and the allocator fetches their memory from the system again and again; an
# accelerator wants to be full.
_PASS_BYTES_ON_CPU, _MAX_BALLOTS_ON_CPU = 8 * 2**20, 256
_PASS_BYTES_ELSEWHERE, _MAX_BALLOTS_ELSEWHERE = 64 * 2**20, 4096
# With fewer ballots than this per worker, workers are not worth their threads.
_MIN_BALLOTS_PER_WORKER = 16


@dataclass(frozen=True)
class Worker:
    """One of several places where passes run side by side.

    Attributes:
        device: of the inputs.
        forward: the worker's own copy of the base classifier.
    """

    device: torch.device
    forward: Callable[[Tensor], Tensor]


class Voter:
    """What every smoothed classifier asks of its base classifier.

    Inputs are checked at the border; ballots are cast on the base classifier's device, in its
    precision and in evaluation mode, in passes that fit in memory.

    Args:
        base: any module from encoded inputs to `(batch, num_classes)` logits.
        ablation: what is done to an input before it is encoded.
        num_classes: outputs of `base`.
        encoding: "two-channel", or an `Encoding`.
        ballots_per_pass: ablated inputs per forward pass; by default as many as fit in 64 MiB; on
            a CPU in 8 MiB, and at most 256.
        precision: "float32" or "bfloat16".
        compile: run the base classifier through `torch.compile`.
        devices: where passes of a tally run side by side, each device named as often as it is to
            run a pass; by default on the base classifier's device, on a CPU as many passes as
            torch has threads. On other devices copies of the base classifier run.

    Raises:
        InputError: for options out of range, a device that is not there, or a network whose
            ballots depend on one another.
    """

    def __init__(
        self,
        base: nn.Module,
        ablation: Units,
        num_classes: int,
        encoding: str | Encoding,
        *,
        ballots_per_pass: int | None,
        precision: str,
        compile: bool,
        devices: Sequence[str | torch.device] | None = None,
    ) -> None:
        if num_classes < 2:
            raise InputError(f"expected at least 2 classes, got {num_classes}")
        if ballots_per_pass is not None:
            check_num_samples(ballots_per_pass, "ballots_per_pass")
        check_precision(precision)
        for name, layer in base.named_modules():
            if isinstance(layer, _BatchNorm) and layer.running_mean is None:
                raise InputError(
                    f"layer {name!r} ({type(layer).__name__}) normalises by the statistics of the "
                    "batch at hand, so a ballot would depend on the other ballots, and no "
                    "certificate holds; use track_running_stats=True, or group or layer norm"
                )
        self.base = base
        self.ablation, self.num_classes = ablation, num_classes
        self.encoding = resolve_encoding(encoding)
        check_encoding(self.encoding, ablation)
        self.ballots_per_pass = ballots_per_pass
        self.precision = precision
        self.devices = None if devices is None else check_devices(devices)
        self._compile, self._compiled_for = compile, set[tuple[int, ...]]()
        self._forward, self._tried = self._runnable(base), False

    def logits(self, x: Tensor, mask: Tensor) -> Tensor:
        """The base classifier's logits on ablated inputs, differentiable in the inputs.

        Args:
            x: `(samples, ...)` inputs, or one for all samples.
            mask: `(samples, features)`, as the design draws it; at most `pass_size(x)` at once.

        Returns:
            `(samples, classes)` logits, on the base classifier's device.
        """
        with self.evaluating():
            return self.cast(self.on_device(x), mask)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of what the base classifier gives for one encoded input."""
        return (self.num_classes,)

    def workers(self, x: Tensor, ballots: int) -> list[Worker]:
        """Where passes with so many ballots on these inputs run side by side, at least one."""
        home = self.on_device(x[:1]).device
        devices = self.devices
        if devices is None:
            devices = (home,) * (torch.get_num_threads() if home.type == "cpu" else 1)
        devices = devices[: max(1, ballots // _MIN_BALLOTS_PER_WORKER)]
        return [
            Worker(device, self._forward if network is self.base else self._runnable(network))
            for device, network in zip(devices, replicas(self.base, home, devices), strict=False)
        ]

    def _runnable(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        return Compiled(network, self._compiled_for) if self._compile else network

    def pass_size(self, x: Tensor) -> int:
        """Ablated inputs that go through the network in one pass."""
        encoded_bytes = 4 * self.encoding.output_channels(x.shape[1]) * math.prod(x.shape[2:])
        most, memory = _MAX_BALLOTS_ELSEWHERE, _PASS_BYTES_ELSEWHERE
        if self.on_device(x[:1]).device.type == "cpu":
            most, memory = _MAX_BALLOTS_ON_CPU, _PASS_BYTES_ON_CPU
        return self.ballots_per_pass or max(1, min(most, memory // encoded_bytes))

    def on_device(self, x: Tensor) -> Tensor:
        """The input on the base classifier's device and in its precision, if it has parameters."""
        parameter = next((p for p in self.base.parameters() if p.is_floating_point()), x)
        return x.to(parameter.device, parameter.dtype)

    def cast(
        self,
        source: Tensor,
        mask: Tensor,
        forward: Callable[[Tensor], Tensor] | None = None,
        has_nan: Tensor | None = None,
    ) -> Tensor:
        """Logits on these ablations, to be called on the device, inside `evaluating`.

        Args:
            source: `(samples, ...)` inputs, or one for all samples.
            mask: `(samples, features)`, as the design draws it.
            forward: a worker's; by default that of the base classifier itself.
            has_nan: set where there is NaN, which is then left to the caller to refuse: so the host
                need not wait for the device.

        Raises:
            InputError: where the base classifier does not take them, gives another shape, or NaN.
        """
        encoded = self.encoding(source, mask.to(source.device))
        try:
            with autocast(self.precision, encoded.device):
                logits: Tensor = (forward or self._forward)(encoded)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise InputError(
                f"the base classifier failed on encoded inputs of shape {tuple(encoded.shape)}, "
                f"made from inputs of shape {tuple(source.shape[1:])}: {error}. If the shape is "
                "the reason, check the number of channels or features, and the encoding"
            ) from error
        expected = (len(encoded), *self.output_shape)
        if logits.shape != expected:
            raise InputError(
                f"expected the base classifier to give logits of shape {expected}, "
                f"got {tuple(logits.shape)}"
            )
        found = logits.isnan().any()
        if has_nan is None:
            refuse_nan(found)
        else:
            has_nan |= found
        return logits

    def try_out(self, ballots: Callable[[int], tuple[Tensor, Tensor]], x: Tensor) -> None:
        """Once, before anything is counted; to be called inside `evaluating`.

        Args:
            ballots: gives so many inputs and masks.
            x: inputs.

        Raises:
            InputError: for a base classifier whose ballots depend on one another or on chance.
        """
        if not self._tried:
            source, mask = ballots(min(NUM_BALLOTS, self.pass_size(x)))
            check_ballots(partial(self.cast, forward=self.base), source, mask)
            self._tried = True

    def check(self, x: Tensor) -> None:
        """Raise `InputError` for inputs of the wrong type, shape or range."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            found = str(x.dtype) if isinstance(x, Tensor) else type(x).__name__
            raise InputError(
                f"expected a floating-point tensor with values in [0, 1], got {found}; "
                "convert bytes with x.float() / 255"
            )
        if x.ndim not in (2, 4):
            raise InputError(
                "expected images of shape (batch, channels, height, width) or vectors of shape "
                f"(batch, features), got {tuple(x.shape)}"
            )
        features, d = self.ablation.features_of(tuple(x.shape[1:])), self.ablation.num_features
        if features != d:
            kind = "pixels" if x.ndim == 4 else "features"
            raise InputError(
                f"expected inputs with {d} {kind}, as the ablation has, got {features} "
                f"(shape {tuple(x.shape)})"
            )
        known = x
        if x.numel() and x.aminmax().min.isnan():  # one look at each number, where none is missing
            if x.ndim == 4:
                raise InputError("expected finite pixels, found NaN")
            known = x[~x.isnan()]
        if not known.numel():
            return
        low, high = (float(end) for end in known.aminmax())
        if low < 0 or high > 1:
            raise InputError(
                f"expected values in [0, 1], got {low:g} to {high:g}; "
                "rescale the inputs as in training"
            )

    def evaluating(self) -> contextlib.AbstractContextManager[None]:
        """Evaluation mode, and afterwards the mode each part was in."""
        return evaluating(self.base)


def refuse_nan(found: Tensor) -> None:
    """Raise `InputError` if there was one; here the host waits for the device."""
    if found:
        raise InputError("the base classifier gave NaN; was it trained to convergence?")
