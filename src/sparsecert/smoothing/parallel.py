"""Passes through a network side by side: on the cores of a CPU, or on several devices.

A network of ordinary size keeps one core busier with a whole pass than several cores with the
parts of one, because it need not wait for the others after every layer. So each worker takes the
next pass as soon as it is free, and computes it alone. Ballots are counted as integers, whose sum
does not depend on which worker counted them.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Pass = TypeVar("Pass")
Result = TypeVar("Result")
_COMPILING = threading.Lock()


def replicas(
    base: nn.Module, home: torch.device, places: Sequence[torch.device]
) -> list[nn.Module]:
    """A network for each place: `base` itself for the first at home, copies for the others.

    Networks may keep things between their layers, so no two workers share a module. Copies at home
    share the weights, so they cost no memory and are never out of date.

    Args:
        base: the network.
        home: where its weights are.
        places: devices, one for each worker.

    Returns:
        As many networks as places, or only `base` where it cannot be copied, with a warning.
    """
    networks, taken = [], False
    for device in places:
        if device == home and not taken:
            networks.append(base)
            taken = True
            continue
        shared = [*base.parameters(), *base.buffers()] if device == home else []
        try:
            replica = copy.deepcopy(base, {id(tensor): tensor for tensor in shared})
        except (TypeError, RuntimeError) as error:
            warnings.warn(
                f"the base classifier cannot be copied, so its passes run one by one: {error}",
                stacklevel=2,
            )
            return [base]
        networks.append(replica if device == home else replica.to(device))
    return networks


def run_parallel(
    passes: Iterable[Pass],
    workers: Sequence[Callable[[Iterator[Pass]], Result]],
) -> list[Result]:
    """Share passes among workers, each in a thread of its own that computes single-handed.

    Passes are made one at a time, in their order, by whichever thread takes them, so that no more
    of them are in memory than there are workers. The first error ends all workers.

    Args:
        passes: what there is to do.
        workers: each takes passes until there are none and gives its result. One worker alone is
            called in the caller's thread.

    Returns:
        The results, in the workers' order.
    """
    if len(workers) == 1:
        return [workers[0](iter(passes))]
    shared = _Shared(iter(passes))
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            len(workers), "worker", torch.set_num_threads, (max(1, threads // len(workers)),)
        ) as pool:
            futures = [pool.submit(worker, shared) for worker in workers]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                shared.close()
        for future in done:
            future.result()  # the error that ended the rest, if one did
        return [future.result() for future in futures]
    finally:
        torch.set_num_threads(threads)  # new threads start from what was set last


class Compiled:
    """A network through `torch.compile`, which several threads may call.

    Args:
        network: what to compile.
        known: shapes that a network of this structure has been compiled for; shapes are added.
    """

    def __init__(self, network: nn.Module, known: set[tuple[int, ...]]) -> None:
        self._compiled, self._known = torch.compile(network), known

    def __call__(self, encoded: Tensor) -> Tensor:
        """What the network gives."""
        shape = tuple(encoded.shape)
        # Once is enough: the others find the code that the first one made.
        with _COMPILING if shape not in self._known else contextlib.nullcontext():
            result: Tensor = self._compiled(encoded)
            self._known.add(shape)
        return result


class _Shared(Generic[Pass]):
    """An iterator that several threads may advance, until it is closed."""

    def __init__(self, passes: Iterator[Pass]) -> None:
        self._passes, self._lock, self._closed = passes, threading.Lock(), False

    def __iter__(self) -> Iterator[Pass]:
        return self

    def __next__(self) -> Pass:
        with self._lock:
            if self._closed:
                raise StopIteration
            return next(self._passes)

    def close(self) -> None:
        """Give no more, whatever is left."""
        self._closed = True
