"""Ablated batches for training loops of one's own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import sparsecert as sc
from tests.helpers.classifiers import images

ABLATION = sc.UniformAblation(16, 5)


def retained(encoded: Tensor) -> Tensor:
    """Which pixels a two-channel encoding shows: where value and complement add up to 1."""
    return encoded.sum(dim=1).round().bool().flatten(1)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4), (16,)])
def test_each_input_is_seen_through_a_set_of_its_own(shape: tuple[int, ...]) -> None:
    x = images(200, shape=shape)
    encoded = sc.ablate(x, ABLATION, seed=3)
    if len(shape) == 1:
        encoded = encoded.view(200, 2, 4, 4)
    shown = encoded[:, 0].bool().flatten(1)
    assert shown.sum(dim=1).tolist() == [5] * 200
    assert len({tuple(row.tolist()) for row in shown}) > 150
    whole = x.view(200, -1, 16)[:, 0]
    assert torch.equal(encoded[:, 0].flatten(1)[shown], whole[shown])


def test_it_is_what_smoothed_classifiers_show() -> None:
    """The same encoding on the same sets."""
    seen: list[Tensor] = []

    def base(encoded: Tensor) -> Tensor:
        seen.append(encoded)
        return encoded.flatten(1)[:, :3]

    x = images(1)
    sc.SmoothedClassifier(base, ABLATION, 3).predict(x, 500)
    ballots = retained(torch.cat(seen))
    trained = retained(sc.ablate(x.expand(500, -1, -1, -1), ABLATION))
    assert {*ballots.sum(dim=1).tolist(), *trained.sum(dim=1).tolist()} == {5}
    assert seen[0].shape[1:] == sc.ablate(x, ABLATION).shape[1:]


def test_seeds_repeat_it_and_so_does_torch() -> None:
    x = images()
    assert torch.equal(sc.ablate(x, ABLATION, seed=1), sc.ablate(x, ABLATION, seed=1))
    assert not torch.equal(sc.ablate(x, ABLATION, seed=1), sc.ablate(x, ABLATION, seed=2))
    assert not torch.equal(sc.ablate(x, ABLATION), sc.ablate(x, ABLATION))
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(sc.ablate(x, ABLATION))
    assert torch.equal(*drawn)


class Same(Dataset[Tensor]):
    """One image again and again, ablated."""

    def __init__(self, ablate: sc.Ablate) -> None:
        self.ablate, self.image = ablate, images(1)[0]

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> Tensor:
        return self.ablate(self.image)


def epoch(workers: int) -> Tensor:
    dataset = Same(pickle.loads(pickle.dumps(sc.Ablate(ABLATION))))
    return torch.cat(list(DataLoader(dataset, 3, num_workers=workers)))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_draw_different_sets_and_a_seed_repeats_them(workers: int) -> None:
    torch.manual_seed(7)
    first, second = epoch(workers), epoch(workers)
    assert len({tuple(row.tolist()) for row in retained(first)}) > 9
    assert not torch.equal(first, second)
    torch.manual_seed(7)
    assert torch.equal(epoch(workers), first)


def test_families_and_other_encodings_and_no_input() -> None:
    family = sc.strided_partition(16, 4)
    encoded = sc.ablate(images(100), family, sc.MeanEncoding((2.0,)))
    sets = {tuple((row != 2.0).tolist()) for row in encoded.flatten(1)}
    assert sets == {tuple(row) for row in family.membership.tolist()}
    assert sc.ablate(images(0), ABLATION).shape == (0, 2, 4, 4)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), "floating-point tensor with values in"),
        (torch.zeros(1, 4, 4), "images of shape"),
        (torch.zeros(2, 1, 5, 5), "16 pixels, as the ablation has, got 25"),
        (torch.full((2, 16), 3.0), r"values in \[0, 1\], got 3"),
    ],
)
def test_bad_inputs_get_a_sentence(x: Any, sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        sc.ablate(x, ABLATION)
