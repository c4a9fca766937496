"""Base classifiers of any kind, as one: from encoded inputs to scores of the classes.

A module stays what it is. Anything else is wrapped by the first adapter that takes it, and no
library is imported that the classifier did not bring along. What comes out may be logits or
probabilities, since a ballot is a ranking of the classes; or classes, which rank nothing below
the first choice.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsecert.errors import InputError


def as_module(base: object, num_classes: int) -> nn.Module:
    """A base classifier as a module; raises `InputError` for what cannot be called."""
    if isinstance(base, nn.Module):
        return base
    if isinstance(base, torch.export.ExportedProgram):
        return Exported(base)
    for takes, call in _ADAPTERS:
        if takes(base):
            return Foreign(call(base, num_classes))
    if callable(base):
        return Function(base)
    raise InputError(
        "expected a base classifier that can be called on a batch of encoded inputs (a torch "
        "module or function, a NumPy function), a scikit-learn estimator or an ONNX Runtime "
        f"session, got {type(base).__name__}"
    )


def scores(output: object, num_classes: int) -> Tensor:
    """What a base classifier gave, as a tensor: scores of the classes, or `(ballots,)` classes.

    Args:
        output: a tensor or array; an object with `.logits`, a mapping with "logits" or one entry,
            or a tuple or list that begins with it.
        num_classes: classes there are.

    Raises:
        InputError: for anything else, or a class that there is not.
    """
    found = _first(output)
    if not isinstance(found, Tensor):
        if isinstance(found, np.ndarray) and np.issubdtype(found.dtype, np.number):
            found = torch.from_numpy(np.array(found))
        elif hasattr(found, "__dlpack__"):
            found = torch.from_dlpack(found)  # type: ignore[attr-defined]
        else:
            raise InputError(
                "expected the base classifier to give a tensor or an array of numbers, an object "
                "with .logits, a mapping with 'logits' or a tuple that begins with them, got "
                f"{_kind(output)}"
            )
    if found.ndim == 1 and not found.is_floating_point():
        if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < num_classes:
            raise InputError(
                f"expected the base classifier to give classes from 0 to {num_classes - 1}, got "
                f"{int(found.min())} to {int(found.max())}"
            )
        return found.long()
    return found


def _first(output: Any) -> object:
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, Mapping):
        if "logits" in output:
            return output["logits"]
        return next(iter(output.values())) if len(output) == 1 else output
    return output[0] if isinstance(output, (tuple, list)) and output else output


def _kind(output: object) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {', '.join(map(repr, output)) or 'nothing'}"
    return f"a {type(output).__name__}"


class Exported(nn.Module):
    """An exported program, which has one mode.

    Args:
        program: from `torch.export`.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        graph = program.module()
        # Its weights say on which device and in which precision it runs; the graph itself refuses
        # to be told a mode, so it is no part.
        self.weights = nn.ParameterList(graph.parameters())
        self._call: Callable[..., Any] = graph.forward

    def forward(self, encoded: Tensor) -> Any:
        """What the program gives."""
        return self._call(encoded)


class Foreign(nn.Module):
    """A classifier of another library, which sees to its own cores and devices.

    Args:
        call: from encoded inputs to scores or classes.
    """

    def __init__(self, call: Callable[[Tensor], object]) -> None:
        super().__init__()
        self._call = call

    def forward(self, encoded: Tensor) -> object:
        """What the classifier gives; raises `InputError` with its own words where it fails."""
        try:
            return self._call(encoded)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                "the base classifier failed on encoded inputs of shape "
                f"{tuple(encoded.shape)} with {type(error).__name__}: {error}"
            ) from error


class Function(Foreign):
    """A function of tensors, or one of NumPy arrays: the first ballots tell.

    Args:
        function: any callable.
    """

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function, self._takes_arrays = function, False
        super().__init__(self._either)

    def _either(self, encoded: Tensor) -> object:
        if self._takes_arrays:
            return self._function(encoded.numpy(force=True))
        try:
            return self._function(encoded)
        except (TypeError, AttributeError) as error:
            try:
                output = self._function(encoded.numpy(force=True))
            except Exception as second:
                raise InputError(
                    "the base classifier takes neither a tensor "
                    f"({type(error).__name__}: {error}) nor a NumPy array "
                    f"({type(second).__name__}: {second})"
                ) from second
            self._takes_arrays = True
            return output


_Call = Callable[[Tensor], object]


def _is_of(*libraries: str) -> Callable[[object], bool]:
    return lambda base: type(base).__module__.partition(".")[0] in libraries


def _is_estimator(base: object) -> bool:
    return hasattr(base, "predict_proba") or (
        hasattr(base, "predict") and hasattr(base, "classes_")
    )


def _estimator(base: Any, num_classes: int) -> _Call:
    """A scikit-learn estimator, or one that behaves so, on one row for each ballot."""
    names = np.asarray(getattr(base, "classes_", np.arange(num_classes)))
    are_numbers = np.issubdtype(names.dtype, np.integer)
    if are_numbers and names.size and names.min() >= 0 and names.max() < num_classes:
        place = names
    elif len(names) == num_classes:
        place = np.arange(num_classes)
    else:
        raise InputError(
            f"expected an estimator that was fitted to {num_classes} classes, got {len(names)}"
        )

    def call(encoded: Tensor) -> object:
        rows = encoded.flatten(1).numpy(force=True)
        if not hasattr(base, "predict_proba"):
            return place[np.searchsorted(names, base.predict(rows))]
        shares = np.asarray(base.predict_proba(rows))
        every = np.full((len(rows), num_classes), -np.inf, dtype=shares.dtype)
        every[:, place] = shares  # a class that it was never shown comes last
        return every

    return call


def _onnx(base: Any, num_classes: int) -> _Call:
    """An ONNX Runtime session: its first input, its first output."""
    given = base.get_inputs()[0]
    formats = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    formats["tensor(float16)"] = np.float16
    if given.type not in formats:
        raise InputError(
            f"expected a session whose first input is one of {', '.join(formats)}, got {given.type}"
        )

    def call(encoded: Tensor) -> object:
        array = encoded.numpy(force=True).astype(formats[given.type], copy=False)
        return base.run(None, {given.name: array})[0]

    return call


def _jax(base: Any, num_classes: int) -> _Call:
    """A compiled JAX function; tensors and arrays change hands without a copy."""
    from_dlpack = importlib.import_module("jax.numpy").from_dlpack
    return lambda encoded: base(from_dlpack(encoded.detach().contiguous()))


_ADAPTERS: tuple[tuple[Callable[[object], bool], Callable[[Any, int], _Call]], ...] = (
    (_is_of("onnxruntime"), _onnx),
    (_is_of("jax", "jaxlib"), _jax),
    (_is_estimator, _estimator),
)
