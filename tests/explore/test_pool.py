"""Votes after a change are those of casting every ballot anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsecert.errors import InputError
from sparsecert.explore.pool import Pool
from sparsecert.explore.subject import Subject
from sparsecert.rules import RULES
from sparsecert.smoothing.voter import Voter


def assert_same(one: Pool, other: Pool) -> None:
    assert torch.equal(one.masks, other.masks)
    assert np.array_equal(one.choices, other.choices)
    assert np.array_equal(one.tally.first_choice, other.tally.first_choice)
    assert np.array_equal(one.tally.min_pairwise_wins, other.tally.min_pairwise_wins)


@pytest.mark.parametrize("kind", ["digits", "rows"])
def test_incremental_votes_are_those_cast_anew(kind: str, request: pytest.FixtureRequest) -> None:
    subject: Subject = request.getfixturevalue(kind)
    smoothed = subject.classifier(subject.design.num_retained)
    image, generator = subject.input(5)[0], np.random.default_rng(0)
    pool = Pool(smoothed, image, 400, seed=1)
    choices = pool.choices
    for number in (1, 1, 5, 0, 3):
        image = image.clone()
        places = generator.choice(image.numel(), number, replace=False)
        image.view(-1)[places] = torch.from_numpy(generator.random(number, dtype=np.float32))
        if kind == "rows" and number == 5:
            image.view(-1)[places[0]] = torch.nan
        pool.show(image)
        assert_same(pool, Pool(smoothed, image, 400, seed=1))
        assert pool.num_cast == int(pool.masks[:, places].any(dim=1).sum())
    assert not np.array_equal(pool.choices, choices)


def test_a_pixel_is_in_few_ballots(digits: Subject) -> None:
    image = digits.input(0)[0]
    pool = Pool(digits.classifier(12), image, 1_000, seed=0)
    changed = image.clone()
    changed[0, 3, 3] = 1 - changed[0, 3, 3]
    pool.show(changed)
    assert abs(pool.num_cast - 1_000 * 12 / 64) < 5 * np.sqrt(1_000 * 12 / 64)


def test_nothing_is_cast_for_the_same_version(
    digits: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoothed, image = digits.classifier(12), digits.input(0)[0]
    pool = Pool(smoothed, image, 100, seed=0)
    monkeypatch.delattr(Voter, "logits")
    pool.show(image.clone())
    assert pool.num_cast == 0


def test_the_tally_serves_every_rule(digits: Subject) -> None:
    tally = Pool(digits.classifier(12), digits.input(0)[0], 300, seed=0).tally
    assert {int(rule.winner(tally)[0]) for rule in RULES.values()} == {int(tally.top[0])}


def test_another_shape_is_refused(digits: Subject) -> None:
    with pytest.raises(InputError, match="expected inputs with 64 pixels"):
        Pool(digits.classifier(12), torch.zeros(1, 4, 4), 10, seed=0)
