"""The smoothed classifier: a base classifier's vote over random ablations of its input."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sparsecert.certification import Certification, Prediction, certify_tally, predict_tally
from sparsecert.designs import Design
from sparsecert.devices import autocast, check_precision
from sparsecert.encoding import Encoding, NoiseEncoding, resolve_encoding
from sparsecert.errors import InputError, check_alpha, check_num_samples
from sparsecert.noise import DiscreteNoise
from sparsecert.streams import Stage, stream
from sparsecert.tally import Tally

# Encoded inputs of one pass through the network take at most this much memory. Activations come
# on top: a few times as much in a typical convolutional network.
_PASS_BYTES = 64 * 2**20
# On a CPU the activations of larger passes fall out of its caches; an accelerator wants to be full.
_MAX_BALLOTS_ON_CPU = 256
_MAX_BALLOTS_ELSEWHERE = 4096


class SmoothedClassifier:
    """g of the paper: the class that the base classifier gives to most ablations of an input.

    Inputs are `(batch, channels, height, width)` images, whose features are pixels, or
    `(batch, features)` vectors, as floating-point tensors with values in [0, 1].

    Args:
        base: any module from encoded inputs to `(batch, num_classes)` logits, trained on ablated
            inputs. Votes are cast on its device, in evaluation mode.
        ablation: which features are retained: a `UniformAblation` (or the noise it is compared
            with, a `DiscreteNoise`, with the encoding that applies it).
        num_classes: outputs of `base`.
        encoding: "two-channel", or an `Encoding` such as `MeanEncoding(mean)`.
        ballots_per_pass: ablated inputs per forward pass; by default as many as fit in 64 MiB, at
            most 256 on a CPU. Never are all ablations of an input in memory at once.
        precision: "float32", or "bfloat16" for a base classifier trained in it: about twice as
            fast on hardware made for it.
        compile: run the base classifier through `torch.compile`. Pays on long certifications.

    Votes do not depend on `ballots_per_pass`, the batch or its order, except where two logits are
    equal up to floating-point error, which may differ between sizes of a pass and machines.
    """

    def __init__(
        self,
        base: nn.Module,
        ablation: Design,
        num_classes: int,
        encoding: str | Encoding = "two-channel",
        *,
        ballots_per_pass: int | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        if num_classes < 2:
            raise InputError(f"expected at least 2 classes, got {num_classes}")
        if ballots_per_pass is not None:
            check_num_samples(ballots_per_pass, "ballots_per_pass")
        check_precision(precision)
        for name, layer in base.named_modules():
            if isinstance(layer, _NormBase) and layer.running_mean is None:
                raise InputError(
                    f"layer {name!r} ({type(layer).__name__}) normalises by the statistics of the "
                    "batch at hand, so a ballot would depend on the other ballots, and no "
                    "certificate holds; use track_running_stats=True, or group or layer norm"
                )
        self.base = base
        self.ablation = ablation
        self.num_classes = num_classes
        self.encoding = resolve_encoding(encoding)
        _check_fit(ablation, self.encoding)
        self.ballots_per_pass = ballots_per_pass
        self.precision = precision
        self._forward = torch.compile(base) if compile else base

    def predict(
        self,
        x: Tensor,
        num_samples: int = 10_000,
        alpha: float = 0.05,
        seed: int = 0,
        *,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Prediction:
        """PREDICT: the class of g with probability at least 1 - alpha, or an abstention.

        Args:
            x: inputs.
            num_samples: ablations per input.
            alpha: probability of a wrong answer.
            seed: names the random streams, together with `indices`.
            indices: each input's index in its data set; 0, 1, ... by default.
        """
        check_alpha(alpha)
        return predict_tally(self.tally(x, num_samples, Stage.PREDICTION, seed, indices), alpha)

    def certify(
        self,
        x: Tensor,
        num_selection: int = 1_000,
        num_samples: int = 10_000,
        alpha: float = 0.05,
        seed: int = 0,
        rule: str = "majority",
        *,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Certification:
        """CERTIFY: choose a class from some ablations, bound its share from fresh ones.

        Args:
            x: inputs.
            num_selection: ablations that choose the class (n0).
            num_samples: ablations that estimate its share (n).
            alpha: error probability of each certificate.
            seed: names the random streams, together with `indices`.
            rule: "majority" (Corollary 1) or "margin" (Corollary 2).
            indices: each input's index in its data set; 0, 1, ... by default.
        """
        check_alpha(alpha)
        check_num_samples(num_selection, "num_selection")
        check_num_samples(num_samples)
        selection = self.tally(x, num_selection, Stage.SELECTION, seed, indices)
        estimation = self.tally(x, num_samples, Stage.ESTIMATION, seed, indices)
        return certify_tally(estimation, selection.top, self.ablation, alpha, rule)

    def tally(
        self,
        x: Tensor,
        num_samples: int,
        stage: Stage,
        seed: int = 0,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Tally:
        """Count the base classifier's answers on random ablations of each input.

        Args:
            x: inputs.
            num_samples: ablations per input.
            stage: what the ablations are for. Those of different stages are independent; within a
                stage a larger tally contains the smaller ones.
            seed: names the random streams, together with `stage` and `indices`.
            indices: each input's index in its data set; 0, 1, ... by default.

        Raises:
            InputError: for inputs of the wrong type, shape or range, or a base classifier that
                does not take them, or does not give `num_classes` logits, or gives NaN.
        """
        self._check(x)
        check_num_samples(num_samples)
        names = list(range(len(x)) if indices is None else map(int, indices))
        if len(names) != len(x):
            raise InputError(f"expected one index for each of {len(x)} inputs, got {len(names)}")
        counts = np.zeros((len(x), self.num_classes), dtype=np.int64)
        if not names:
            return Tally(counts)
        x = self._on_device(x)
        generators = [stream(seed, stage, name) for name in names]
        with torch.inference_mode(), _evaluating(self.base):
            for rows, mask in self._passes(generators, num_samples, x):
                source = x[rows[:1]] if rows[0] == rows[-1] else x[torch.from_numpy(rows)]
                np.add.at(counts, (rows, self._vote(source, mask)), 1)
        return Tally(counts)

    def base_answers(self, x: Tensor, mask: Tensor) -> NDArray[np.int64]:
        """The base classifier's classes for given ablations of one input.

        Args:
            x: one input, as a batch of 1.
            mask: `(samples, features)`, as the design draws it: the features each sample retains.

        Returns:
            `(samples,)` classes.
        """
        self._check(x)
        if mask.ndim != 2 or mask.shape[1] != self.ablation.num_features or len(x) != 1:
            raise InputError(
                f"expected one input and a mask of shape (samples, {self.ablation.num_features}), "
                f"got {len(x)} inputs and {tuple(mask.shape)}"
            )
        with torch.inference_mode(), _evaluating(self.base):
            return self._vote(self._on_device(x), mask)

    def logits(self, x: Tensor, mask: Tensor) -> Tensor:
        """The base classifier's logits on ablated inputs, differentiable in the inputs.

        Args:
            x: `(samples, ...)` inputs, or one for all samples.
            mask: `(samples, features)`, as the design draws it; at most `pass_size(x)` at once.

        Returns:
            `(samples, classes)` logits, on the base classifier's device.
        """
        with _evaluating(self.base):
            return self._logits(self._on_device(x), mask)

    def pass_size(self, x: Tensor) -> int:
        """Ablated inputs that go through the network in one pass."""
        encoded_bytes = 4 * self.encoding.output_channels(x.shape[1]) * math.prod(x.shape[2:])
        on_cpu = self._on_device(x[:1]).device.type == "cpu"
        most = _MAX_BALLOTS_ON_CPU if on_cpu else _MAX_BALLOTS_ELSEWHERE
        return self.ballots_per_pass or max(1, min(most, _PASS_BYTES // encoded_bytes))

    def _on_device(self, x: Tensor) -> Tensor:
        """The input on the base classifier's device and in its precision, if it has parameters."""
        parameter = next((p for p in self.base.parameters() if p.is_floating_point()), x)
        return x.to(parameter.device, parameter.dtype)

    def _passes(
        self, generators: list[np.random.Generator], num_samples: int, x: Tensor
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Rows of x and masks of each pass: all ballots in order, in equal portions."""
        limit = self.pass_size(x)
        total = len(generators) * num_samples
        num_passes = math.ceil(total / limit)
        for portion in range(num_passes):
            start, stop = (total * end // num_passes for end in (portion, portion + 1))
            rows = np.arange(start, stop) // num_samples
            drawn = [
                self.ablation.draw(generators[row], int(count))
                for row, count in zip(*np.unique(rows, return_counts=True), strict=True)
            ]
            yield rows, torch.from_numpy(drawn[0] if len(drawn) == 1 else np.concatenate(drawn))

    def _vote(self, source: Tensor, mask: Tensor) -> NDArray[np.int64]:
        choice: NDArray[np.int64] = self._logits(source, mask).argmax(dim=1).cpu().numpy()
        return choice

    def _logits(self, source: Tensor, mask: Tensor) -> Tensor:
        encoded = self.encoding(source, mask.to(source.device))
        try:
            with autocast(self.precision, encoded.device):
                logits: Tensor = self._forward(encoded)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise InputError(
                f"the base classifier failed on encoded inputs of shape {tuple(encoded.shape)}, "
                f"made from inputs of shape {tuple(source.shape[1:])}: {error}. If the shape is "
                "the reason, check the number of channels or features, and the encoding"
            ) from error
        if logits.shape != (len(encoded), self.num_classes):
            raise InputError(
                f"expected the base classifier to give logits of shape "
                f"{(len(encoded), self.num_classes)}, got {tuple(logits.shape)}"
            )
        if logits.isnan().any():
            raise InputError("the base classifier gave NaN; was it trained to convergence?")
        return logits

    def _check(self, x: Tensor) -> None:
        d = self.ablation.num_features
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
        features = self.ablation.features_of(tuple(x.shape[1:]))
        if features != d:
            kind = "pixels" if x.ndim == 4 else "features"
            raise InputError(
                f"expected inputs with {d} {kind}, as the ablation has, got {features} "
                f"(shape {tuple(x.shape)})"
            )
        if not x.isfinite().all():
            raise InputError("expected finite inputs, found NaN or infinity")
        if x.numel() and (x.min() < 0 or x.max() > 1):
            raise InputError(
                f"expected values in [0, 1], got {float(x.min()):g} to {float(x.max()):g}; "
                "rescale the inputs as in training"
            )


def _check_fit(design: Design, encoding: Encoding) -> None:
    """An encoding that does not apply what the design draws would make certificates wrong."""
    wanted = NoiseEncoding(design.num_values) if isinstance(design, DiscreteNoise) else None
    if wanted != (encoding if isinstance(encoding, NoiseEncoding) else None):
        raise InputError(
            "expected NoiseEncoding(num_values) with a DiscreteNoise of as many values, and with "
            f"nothing else; got {encoding} with {design!r}"
        )


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards the mode each part was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
