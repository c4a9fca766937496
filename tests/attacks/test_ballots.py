"""The query engine saves ballots, not correctness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import sparsecert as sc
from sparsecert.attacks.ballots import BallotQueries
from sparsecert.attacks.query import Version, take_unit
from sparsecert.attacks.reading import RivalsAbove
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.smoothing.encoding import NoiseEncoding
from sparsecert.streams import Stage
from sparsecert.votes.rankings import count_pairs
from tests.attacks.victims import random_network
from tests.helpers.classifiers import images

N = 600


def image() -> Tensor:
    return images(1, 3)


def queries(victim: sc.SmoothedClassifier | None = None, rule: str = "majority") -> BallotQueries:
    victim = victim or random_network()
    label = int(victim.tally(image(), 1_000, Stage.ESTIMATION).top[0])
    options = {"num_samples": N, "seed": 0, "index": 4, "num_search": 200}
    return BallotQueries(victim, image(), label, alpha=0.05, rule=rule, **options)


def pool(ask: BallotQueries, number: int) -> Tensor:
    """The first of the masks that all questions are asked with."""
    masks = ask.smoothed.ablation.draw(sc.samples(0, Stage.ATTACK_SEARCH, 4, N))[:number]
    return torch.from_numpy(masks)


def walk(ask: BallotQueries, steps: int) -> list[bool]:
    """Change one pixel at a time, asking at each step; returns the answers."""
    generator = np.random.default_rng(1)
    version, answers = ask.version(ask.original), []
    for _ in range(steps):
        feature = int(generator.integers(16))
        changed = version.image.clone()
        changed.view(-1)[feature] = float(generator.random())
        child = ask.change(version, changed, np.array([feature]))
        answers.append(bool(ask.fooled([version, child])[1]))
        if generator.random() < 0.7:
            version = child
    check_known_answers(ask, version)
    return answers


def check_known_answers(ask: BallotQueries, version: Version) -> None:
    """Against a fresh count of every ballot of the pool on this very image."""
    victim, changed = ask.smoothed, version.image
    masks = pool(ask, N)
    if ask.reading.rule == "pairwise":
        logits = victim.logits(changed[None], masks).detach().numpy()
        own = logits[:, ask.label, None]
        ahead = (logits > own) | ((logits == own) & (np.arange(3) < ask.label))
        direct = ahead @ (1, 2, 4)
    else:
        direct = victim.base_answers(changed[None], masks)
    (known,) = np.nonzero(version.rows >= 0)
    assert len(known) > N / 4
    for ballots in np.split(known, range(16, len(known), 16)):
        expected = ask.reading.count(direct[ballots])
        np.testing.assert_array_equal(ask.count(version, ballots), expected)


@pytest.mark.parametrize("rule", ["majority", "pairwise"])
def test_what_is_known_of_a_version_is_what_its_ballots_say(rule: str) -> None:
    ask = queries(rule=rule)
    walk(ask, 40)
    cost = ask.cost
    assert cost.drawn + cost.cached + cost.skipped == cost.queries * N
    assert cost.cached > 0.25 * cost.queries * N
    assert cost.drawn < 0.25 * cost.queries * N


def test_no_ballot_is_cast_twice_on_what_it_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way led to an image; and the other way about, every sight is told apart."""
    ask, black = queries(), torch.zeros(1, 4, 4)
    masks, passes = pool(ask, 200), list[int]()
    cast = ask.smoothed.cast

    def watched(source: Tensor, mask: Tensor, *rest: Any) -> Tensor:
        passes.append(len(mask))
        return cast(source, mask, *rest)

    monkeypatch.setattr(ask.smoothed, "cast", watched)
    start = ask.version(ask.original)
    one, other = (take_unit(ask, start, black, unit) for unit in (3, 8))
    ways = [take_unit(ask, one, black, 8), take_unit(ask, other, black, 3)]
    ask.lead([start, one, other, *ways, take_unit(ask, ways[0], ask.original, 8)])
    sights = 200 + masks[:, 3].sum() + masks[:, 8].sum() + masks[:, [3, 8]].all(dim=1).sum()
    assert sum(passes) == ask.cost.drawn == int(sights)
    ask.lead([ask.version(ways[1].image)])
    assert sum(passes) == int(sights)


@pytest.mark.parametrize("rule", ["majority", "pairwise"])
def test_answers_are_predicts_on_the_pool(rule: str) -> None:
    ask = queries(rule=rule)
    generator = np.random.default_rng(2)
    versions = [
        ask.version(torch.from_numpy(generator.random((1, 4, 4), dtype=np.float32)))
        for _ in range(40)
    ]
    masks = pool(ask, N)
    expected = []
    for version in versions:
        logits = ask.smoothed.logits(version.image[None], masks).detach()
        pairs = count_pairs(logits, torch.zeros(N, dtype=torch.int64), 1).numpy()
        tally = sc.Tally(np.bincount(logits.argmax(dim=1), minlength=3)[None], pairs)
        expected.append(sc.predict_tally(tally, rule=rule).label[0] != ask.label)
    assert 0 < sum(expected) < 40
    assert ask.fooled(versions).tolist() == expected
    assert ask.cost.skipped > 0


def test_answers_do_not_depend_on_the_size_of_a_pass() -> None:
    small = random_network()
    small.ballots_per_pass = 7
    assert walk(queries(small), 15) == walk(queries(), 15)


def test_lead_is_counted_on_the_search_ballots() -> None:
    ask = queries()
    version = ask.version(ask.original)
    lead = ask.lead([version])[0]
    counts = np.bincount(ask.smoothed.base_answers(ask.original[None], pool(ask, 200)), minlength=3)
    assert lead == (counts[ask.label] - np.delete(counts, ask.label).max()) / 200
    assert ask.lead([version])[0] == lead
    assert (ask.cost.drawn, ask.cost.cached) == (200, 200)


@pytest.mark.parametrize("rule", ["majority", "pairwise"])
def test_a_fine_lead_is_that_of_mean_shares_on_more_ballots(rule: str) -> None:
    ask = queries(rule=rule)
    logits = ask.smoothed.logits(ask.original[None], pool(ask, 600)).detach()
    own, rivals = logits[:, ask.label, None], np.delete(np.arange(3), ask.label)
    if rule == "majority":
        shares = torch.softmax(logits, dim=1).mean(dim=0)
        expected = shares[ask.label] - shares[rivals].max()
    else:
        expected = torch.tanh((own - logits[:, rivals]) / 2).mean(dim=0).min()
    assert ask.fine_lead([ask.version(ask.original)])[0] == pytest.approx(float(expected), abs=1e-3)


def test_lead_head_to_head_is_over_the_strongest_rival() -> None:
    ask = queries(rule="pairwise")
    logits = ask.smoothed.logits(ask.original[None], pool(ask, 200)).detach()
    wins = count_pairs(logits, torch.zeros(200, dtype=torch.int64), 1)[0, ask.label].numpy()
    expected = (2 * np.delete(wins, ask.label).min() - 200) / 200
    assert ask.lead([ask.version(ask.original)])[0] == expected


@pytest.mark.parametrize("rule", ["majority", "pairwise"])
def test_soft_lead_has_the_gradient_of_the_mean_over_ablations(rule: str) -> None:
    ask = queries(rule=rule)
    x = ask.original.clone().requires_grad_()
    soft, _ = ask.soft_lead(x)
    (gradient,) = torch.autograd.grad(soft, x)
    step = 1e-2 * gradient / gradient.norm()
    # The same ablations again, by the same stream.
    nearby = (ask.original + step).clamp(0, 1)
    moved, _ = queries(rule=rule).soft_lead(nearby)
    expected = float((gradient * (nearby - ask.original)).sum())
    assert float((moved - soft).detach()) == pytest.approx(expected, rel=0.05)


def test_each_confirmation_draws_fresh_ballots(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = queries()
    seen = []
    tally = ask.smoothed.tally

    def watched(
        x: Tensor, n: int, stage: Stage, seed: int, indices: list[int], **options: Any
    ) -> sc.Tally:
        seen.append((n, stage, indices))
        return tally(x, n, stage, seed, indices, **options)

    monkeypatch.setattr(ask.smoothed, "tally", watched)
    assert ask.confirm(ask.original) == ask.confirm(ask.original) == ask.label
    assert seen == [
        (N, Stage.ATTACK_CONFIRMATION, [4_000]),
        (N, Stage.ATTACK_CONFIRMATION, [4_001]),
    ]


def test_noise_is_refused() -> None:
    victim = sc.SmoothedClassifier(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)),
        DiscreteNoise(16, 0.8, 2),
        3,
        NoiseEncoding(2),
    )
    with pytest.raises(sc.InputError, match="attacks on noise are not built"):
        queries(victim)


def test_the_pairwise_rule_is_attacked_with_all_pairs_only() -> None:
    victim = sc.SmoothedClassifier(torch.nn.Identity(), sc.UniformAblation(16, 5), 40)
    with pytest.raises(sc.InputError, match="at most 32 classes to attack the pairwise rule"):
        BallotQueries(
            victim, image(), 0, num_samples=9, alpha=0.05, seed=0, index=0, rule="pairwise"
        )


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_ballot_read_head_to_head_is_its_ranking(label: int) -> None:
    """Ties included: `count_pairs` counts the same ballots."""
    logits = torch.from_numpy(np.random.default_rng(0).integers(3, size=(200, 3)).astype(float))
    reading = RivalsAbove(200, 3, label, 0.05)
    pairs = count_pairs(logits, torch.zeros(200, dtype=torch.int64), 1)[0].numpy()
    counts = reading.count(reading.read(logits))
    assert counts[label] == 200
    np.testing.assert_array_equal(np.delete(counts, label), np.delete(pairs[:, label], label))
