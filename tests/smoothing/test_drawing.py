"""Retained sets as operations on tensors are those of NumPy, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import sparsecert as sc
from sparsecert.designs import subsets
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.smoothing import counting, drawing
from sparsecert.smoothing.drawing import Drawing, device_words, philox4x64
from sparsecert.streams import Stage
from sparsecert.streams.samples import sample_stream
from tests.helpers.classifiers import images, perceptron
from tests.helpers.internals import few_are_many
from tests.helpers.votes import assert_same_votes

CPU = torch.device("cpu")

# Random123 (Salmon et al.), tests/kat_vectors: counter, key and words of philox4x64 10.
VECTORS = """
0000000000000000 0000000000000000 0000000000000000 0000000000000000
0000000000000000 0000000000000000
16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b

ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff
ffffffffffffffff ffffffffffffffff
87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0

243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89
452821e638d01377 be5466cf34e90c6c
a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6
"""


def tensors(words: list[str]) -> tuple[Any, ...]:
    return tuple(torch.tensor(int.from_bytes(bytes.fromhex(w), signed=True)) for w in words)


def test_published_vectors_of_philox() -> None:
    numbers = VECTORS.split()
    for start in range(0, len(numbers), 10):
        counter, key, expected = (
            tensors(numbers[start + low : start + high]) for low, high in ((0, 4), (4, 6), (6, 10))
        )
        assert philox4x64(counter, key) == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**256 - 1), st.integers(0, 2**128 - 1))
def test_any_counter_and_key_give_what_numpy_gives(counter: int, key: int) -> None:
    parts = [f"{counter >> shift & (2**64 - 1):016x}" for shift in (0, 64, 128, 192)]
    keys = [f"{key >> shift & (2**64 - 1):016x}" for shift in (0, 64)]
    expected = np.random.Philox(key=key, counter=(counter - 1) % 2**256).random_raw(4)
    found = torch.stack(philox4x64(tensors(parts), tensors(keys)))
    np.testing.assert_array_equal(found.numpy().view(np.uint64), expected)


def drawn(d: int, k: int, num_samples: int = 30, first: int = 0) -> Drawing:
    streams = [sample_stream(2**127 + 5, Stage.ESTIMATION, index) for index in (0, 3, 2**40)]
    return Drawing(sc.UniformAblation(d, k), streams, num_samples, first, CPU)


def same_sets(some: Drawing, start: int, stop: int) -> None:
    assert isinstance(some.design, sc.UniformAblation)
    found = some.retained_sets(some.design, start, stop)
    assert torch.equal(found, some(start, stop))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sets_are_the_same_on_small_spaces(data: st.DataObject) -> None:
    d = data.draw(st.integers(1, 70))
    k, first = data.draw(st.integers(1, d)), data.draw(st.integers(0, 2**31))
    start = data.draw(st.integers(0, 89))
    same_sets(drawn(d, k, first=first), start, data.draw(st.integers(start + 1, 90)))


@pytest.mark.parametrize(
    ("d", "k"), [(784, 45), (784, 739), (1_024, 75), (40_000, 100), (50_176, 1_000)]
)
def test_sets_are_the_same_at_the_sizes_of_images(d: int, k: int) -> None:
    same_sets(drawn(d, k, 7, first=1_000), 3, 20)


def test_words_are_those_of_numpy() -> None:
    some = drawn(784, 45, 5, first=11)
    words = device_words(some._names[torch.arange(15) // 5], 11 + torch.arange(15) % 5, 8)
    expected = np.concatenate([stream.words(11, 5, 8) for stream in some.streams])
    np.testing.assert_array_equal(words.numpy().view(np.uint64), expected)


def test_samples_that_one_part_does_not_fill_come_from_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (subsets, drawing):
        monkeypatch.setattr(module, "num_blocks", lambda d, k: 6)
    some = drawn(784, 45, 200)
    words = device_words(some._names[torch.zeros(200, dtype=torch.int64)], torch.arange(200), 6)
    is_complete = drawing.device_subsets(words, 784, 45)[1]
    assert 0 < int(is_complete.sum()) < 200
    same_sets(some, 0, 400)


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts where the host reads a value of a tensor, for which it would wait for a device."""

    number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += func in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.is_nonzero.default,
            torch.ops.aten.item.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.equal.default,
        )
        return func(*args, **(kwargs or {}))


def on_accelerator(monkeypatch: pytest.MonkeyPatch, mask_bytes: int) -> None:
    """Draw as an accelerator does."""

    def draw(self: Drawing, start: int, stop: int) -> torch.Tensor:
        assert isinstance(self.design, sc.UniformAblation)
        return self.retained_sets(self.design, start, stop)

    monkeypatch.setattr(Drawing, "__call__", draw)
    monkeypatch.setattr(counting, "_MASK_BYTES_ON_CPU", mask_bytes)


def classifier() -> sc.SmoothedClassifier:
    return sc.SmoothedClassifier(
        perceptron(), sc.UniformAblation(16, 5), 3, ballots_per_pass=50, devices=["cpu"]
    )


@pytest.mark.parametrize("many_classes", [False, True])
@pytest.mark.parametrize("mask_bytes", [1, 2_000, 10**6])
def test_votes_are_the_same_and_the_host_waits_at_most_once_a_pass(
    mask_bytes: int, many_classes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many_classes:
        few_are_many(monkeypatch, tracked=2)
    tracked = np.tile([2, 0], (6, 1)) if many_classes else None
    expected = classifier().tally(images(), 200, Stage.ESTIMATION, 3, tracked=tracked)
    on_accelerator(monkeypatch, mask_bytes)
    smoothed = classifier()
    smoothed.tally(images(), 10, Stage.ESTIMATION, 3)  # the base classifier is tried out once
    passes = 0

    def counting_passes(*arguments: Any) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return cast(*arguments)

    cast = smoothed.cast
    monkeypatch.setattr(smoothed, "cast", counting_passes)
    monkeypatch.setattr(smoothed, "check", lambda x: None)  # of the inputs, before all passes
    with Waits() as waits:  # type: ignore[no-untyped-call]
        found = smoothed.tally(images(), 200, Stage.ESTIMATION, 3, tracked=tracked)
    assert_same_votes(found, expected)
    assert passes == 24
    portions = {1: 24, 2_000: 12, 10**6: 1}[mask_bytes]
    assert waits.number == portions + 1  # to see whether samples are complete, and for NaN


def test_noise_is_drawn_by_numpy_wherever_it_is_added() -> None:
    noise = DiscreteNoise(7, 0.3, 10)
    some = Drawing(noise, [sample_stream(0, Stage.ESTIMATION, 4)], 20, 5, CPU)
    expected = noise.draw(sc.samples(0, Stage.ESTIMATION, 4, 8, first=9))
    assert some(4, 12).tolist() == expected.tolist()
