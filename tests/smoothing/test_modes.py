"""Threads that vote with one network in training mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

import sparsecert as sc
from sparsecert.streams import Stage
from tests.helpers.classifiers import images
from tests.helpers.votes import assert_same_votes

ABLATION = sc.UniformAblation(16, 5)


def network() -> nn.Sequential:
    """In training mode, but for its dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden = nn.Linear(32, 24), nn.BatchNorm1d(24), nn.Dropout(0.5)
        base = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(24, 3))
    base[3].eval()
    return base


def test_who_leaves_first_leaves_the_others_in_evaluation_mode() -> None:
    base = network()
    smoothed = sc.SmoothedClassifier(base, ABLATION, 3)
    whole = sc.SmoothedClassifier(nn.Sequential(base), ABLATION, 3)
    first, second = smoothed.evaluating(), whole.evaluating()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(part.training for part in base.modules())
    second.__exit__(None, None, None)
    assert [part.training for part in base.modules()] == [True, True, True, True, False, True]
    assert whole.base.training


def test_threads_disturb_neither_ballots_nor_modes() -> None:
    base = network()
    one_place = {"devices": ["cpu"]}
    smoothed = [
        sc.SmoothedClassifier(base, ABLATION, 3, ballots_per_pass=limit, **one_place)  # type: ignore[arg-type]
        for limit in (5, 20, 100)
    ]

    def count(number: int) -> sc.Tally:
        return smoothed[number % 3].tally(images(), 100, Stage.ESTIMATION, seed=number)

    expected = [count(number) for number in range(30)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(count, range(30)))
    for one, other in zip(found, expected, strict=True):
        assert_same_votes(one, other)
    assert [part.training for part in base.modules()] == [True, True, True, True, False, True]
    assert int(base.get_buffer("2.num_batches_tracked")) == 0
