"""Files and values as chance, or somebody who means harm, would change them."""

from __future__ import annotations

import copy
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sparsecert.errors import InputError, RunFolderError

_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "\x1b[2J", "x" * 100_000, [], {}, [[]], [None] * 3, {"a": 1}),
    *(0, -1, 1, 2, 3, 7, 1000, 2**31, 2**63, 2**64, 10**30, 10**400, 10**9, 10**12, 50_176),
    *(0.0, 0.5, 1.0, 1e-300, 1e300, float("nan"), float("inf"), -0.1, 1e9, 2.0**-1074),
    *([0] * 1000, [1.0] * 5, ["a", "b"], [1, 2], [0, 0, 0], [10**9] * 3, "digits", "uniform"),
    *("mlp", "pairwise", "majority", "partition", "lee2019", "../..", "/dev/zero", "mean"),
)


def mutated_json(values: Any, rng: np.random.Generator) -> Any:
    """JSON values with one to three places changed, removed, added or exchanged."""
    values = copy.deepcopy(values)
    for _ in range(rng.integers(1, 4)):
        parent, key = _place(values, rng)
        kind = rng.integers(8)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent["x" if rng.random() < 0.5 else key + "x"] = parent[key]
        elif kind == 2 and isinstance(parent, list):
            parent *= int(rng.integers(2, 3 + 20_000 // max(1, len(parent))))
        elif kind == 3:
            other_parent, other = _place(values, rng)
            parent[key] = copy.deepcopy(other_parent[other])
        elif kind == 4 and isinstance(parent[key], int | float):
            parent[key] = parent[key] * [-1, 2, 0.5, 10**6, 10**15][rng.integers(5)]
        elif kind == 5:
            parent[key] = [parent[key]] if rng.random() < 0.5 else str(parent[key])
        else:
            parent[key] = copy.deepcopy(_VALUES[rng.integers(len(_VALUES))])
        if not values:
            return values
    return values


def mutated_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Content with bits flipped, cut, doubled or overwritten in one to three places."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1))
        # Headers and footers say the most.
        near = [at, at % 200, max(0, len(data) - 1 - at % 2000)]
        at = near[rng.integers(3)]
        length = int(2 ** rng.integers(10))
        kind = rng.integers(7)
        if kind < 3 and at < len(data):
            data[at] ^= 1 << rng.integers(8)
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            data[at : at + length] = bytes([rng.choice([0, 255, 127, 0x80])]) * length
        else:
            data = data[:at] if rng.random() < 0.3 else data + data[:at]
    return bytes(data)


def mutated_file(path: Path, original: bytes, rng: np.random.Generator) -> bytes:
    """A file with its bytes changed, or of JSON and its lines the values."""
    kind = rng.random()
    if path.suffix not in (".json", ".jsonl") or kind < 0.25:
        return mutated_bytes(original, rng)
    if kind < 0.27:
        return b"[" * 100_000 + b"]" * 100_000
    if path.suffix == ".json":
        return json.dumps(mutated_json(json.loads(original), rng)).encode()
    lines = original.splitlines()
    at = rng.integers(len(lines))
    lines[at] = json.dumps(mutated_json(json.loads(lines[at]), rng)).encode()
    return b"\n".join(lines)


def mutations_of(path: Path, count: int, seed: int = 0) -> Iterator[int]:
    """The number of each mutation of a file, which lies in its place until the next."""
    original = path.read_bytes()
    try:
        for number in range(count):
            rng = np.random.default_rng((seed, number))
            path.write_bytes(mutated_file(path, original, rng))
            yield number
    finally:
        path.write_bytes(original)


class Outcomes:
    """What became of mutations: each may succeed or end in a sentence, soon, in little memory."""

    def __init__(self) -> None:
        self.refused = self.accepted = 0
        self.longest = 0.0
        self._memory_before = _peak()

    def of(self, use: Callable[[], object]) -> None:
        """Use what was changed."""
        started = time.process_time()
        try:
            use()
            self.accepted += 1
        except (InputError, RunFolderError):
            self.refused += 1
        self.longest = max(self.longest, time.process_time() - started)

    @property
    def memory(self) -> float:
        """MiB by which the most memory of this process has grown."""
        return (_peak() - self._memory_before) / 1024


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _place(values: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """A random place in it: what holds it, and its key or index there."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(values)
    # Long lists would take most of the places.
    depth_first = [p for p in places if isinstance(p[0], dict)]
    chosen = depth_first if depth_first and rng.random() < 0.7 else places
    return chosen[rng.integers(len(chosen))]
