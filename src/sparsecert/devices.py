"""Where networks run, and the number format they compute in.

In "bfloat16" weights, optimiser, loss and logits stay float32, while matrix products and
convolutions round their inputs to 8 significant bits, which processors made for it do at about
twice the speed. A certificate speaks of the base classifier as it votes, rounding included, so no
bound changes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Sequence
from typing import Literal

import torch

from sparsecert.errors import InputError

Precision = Literal["float32", "bfloat16"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names in malloc.h, with M_ before them
_MOST_BYTES = 2**31 - 1


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    # Some builds of torch name the accelerator they were compiled for, present or not.
    present = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if present else None
    return device or torch.device("cpu")


def alike_devices() -> list[str] | None:
    """All CUDA devices, where there are several; None where the best device is the only one."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(count)] if count > 1 else None


@functools.cache
def keep_memory() -> None:
    """Have this process keep the memory that a pass on the CPU frees, for the next pass.

    glibc returns the megabytes of each activation to the system, which clears every page of them
    when the next one is made. Elsewhere this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is not None:
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(option, _MOST_BYTES)


def what_computes(*, compile: bool) -> str:
    """What decides the last bits of a network's outputs, in words.

    Args:
        compile: whether networks run through `torch.compile`.
    """
    device = best_device()
    where = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    if device.type == "cpu":
        where = f"CPU with {torch.backends.cpu.get_cpu_capability()}"
    return f"torch {torch.__version__}, {where}{', compiled' if compile else ''}"


def check_precision(precision: str) -> None:
    """Raise `InputError` for an unknown precision."""
    if precision not in ("float32", "bfloat16"):
        raise InputError(f"expected precision to be float32 or bfloat16, got {precision!r}")


def check_devices(devices: Sequence[str | torch.device]) -> tuple[torch.device, ...]:
    """The devices with their numbers; raises `InputError` for none, or one that is not there."""
    if isinstance(devices, str) or not devices:
        raise InputError(
            f'expected a list of devices such as ["cuda:0", "cuda:1"], got {devices!r}'
        )
    try:
        return tuple(torch.empty(0, device=device).device for device in devices)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"expected devices that torch has, got {devices!r}: {error}") from error


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """A context in which networks on the device compute in this precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; others imitate them, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch cannot say; without oneDNN the products are imitated.
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    instructions = ("avx512_bf16", "amx_bf16", "bf16")
    has_them = any(capabilities.get(name, False) for name in instructions)
    return has_them and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
