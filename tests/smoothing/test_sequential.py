"""Sequential sampling through the smoothed classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import sparsecert as sc
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.theory.schedule import growing_looks
from tests.helpers.classifiers import images, weighing
from tests.helpers.internals import stopping
from tests.helpers.votes import (
    RULES,
    all_looks_at,
    assert_same_votes,
    at,
    counted,
    looks_of,
    pairs_of,
    stopped_after,
)

N = 1_000
LOOKS = growing_looks(N)
ABLATION = sc.UniformAblation(16, 2)


def whole_tally(count: int = 6) -> sc.Tally:
    tally = counted("sequential", weighing(), images(count), N)
    return tally


def certified_at_once(
    rule: str, x: torch.Tensor | None = None, limit: int | None = None, **options: Any
) -> sc.Certification:
    x = images() if x is None else x
    options = {"seed": 0} | options
    return weighing(limit=limit).certify(x, 100, N, rule=rule, sampling="sequential", **options)


def test_looks_hold_the_votes_of_smaller_tallies() -> None:
    tally = whole_tally()
    for look, ballots in enumerate(LOOKS):
        fixed = counted("fixed", weighing(), images(), int(ballots))
        assert pairs_of(fixed).any()
        assert_same_votes(at(tally, look), fixed)


@pytest.mark.parametrize("rule", RULES)
def test_certify_stops_where_a_replay_of_all_ballots_does(rule: str) -> None:
    label = weighing().certify(images(), 100, N, rule=rule, seed=0).label
    replayed = sc.certify_tally(whole_tally(), label, ABLATION, rule=rule)
    found = certified_at_once(rule)
    np.testing.assert_array_equal(found.label, label)
    np.testing.assert_array_equal(found.radius, replayed.radius)
    np.testing.assert_array_equal(found.num_samples, replayed.num_samples)
    np.testing.assert_array_equal(found.tally.first_choice, replayed.tally.first_choice)
    assert len(np.unique(found.num_samples)) > 1
    assert set(found.num_samples) <= set(LOOKS)


@pytest.mark.parametrize("rule", RULES)
def test_results_depend_on_neither_order_nor_batch_nor_pass(rule: str) -> None:
    together = certified_at_once(rule)
    order = [4, 1, 5, 0, 3, 2]
    shuffled = certified_at_once(rule, images()[order], limit=37, indices=order)
    np.testing.assert_array_equal(shuffled.radius, together.radius[order])
    np.testing.assert_array_equal(shuffled.num_samples, together.num_samples[order])
    for row in range(6):
        alone = certified_at_once(rule, images()[row : row + 1], indices=[row])
        for name in ("radius", "num_samples", "lower_bound"):
            assert getattr(alone, name)[0] == getattr(together, name)[row]


@pytest.mark.parametrize("rule", RULES)
def test_predictions_stop_early_and_agree_with_the_fixed_ones(rule: str) -> None:
    fixed = weighing().predict(images(), N, rule=rule, seed=0)
    found = weighing().predict(images(), N, rule=rule, sampling="sequential", seed=0)
    both = (found.label >= 0) & (fixed.label >= 0)
    assert both.sum() >= 4
    np.testing.assert_array_equal(found.label[both], fixed.label[both])
    assert (found.num_samples <= N).all()
    assert found.num_samples.mean() < N / 2
    np.testing.assert_array_equal(found.num_samples, found.counts.sum(axis=1))
    np.testing.assert_array_equal(fixed.num_samples, [N] * 6)


def test_a_budget_of_one_look_is_the_fixed_plan() -> None:
    for rule in RULES:
        fixed = weighing().certify(images(), 100, 110, rule=rule, seed=0)
        found = weighing().certify(images(), 100, 110, rule=rule, sampling="sequential", seed=0)
        np.testing.assert_array_equal(found.radius, fixed.radius)
        np.testing.assert_array_equal(found.num_samples, [110] * 6)
        fixed_label = weighing().predict(images(), 110, rule=rule, seed=0).label
        found_label = (
            weighing().predict(images(), 110, rule=rule, sampling="sequential", seed=0).label
        )
        np.testing.assert_array_equal(found_label, fixed_label)


def test_counting_can_be_gone_on_with() -> None:
    whole = whole_tally()
    label = at(whole, 0).top
    stops = stopping(label, ABLATION)
    begun = counted("sequential", weighing(), images(), N, stops=stops)
    assert begun.num_reached.min() < len(LOOKS)
    assert len(np.unique(begun.num_reached)) > 1
    again = counted("sequential", weighing(), images(), N, stops=stops, before=begun)
    np.testing.assert_array_equal(again.first_choice, begun.first_choice)
    ended = counted("sequential", weighing(), images(), N, before=begun)
    assert pairs_of(whole).any()
    assert_same_votes(ended, whole)


@pytest.mark.parametrize("rule", RULES)
def test_more_looks_than_the_stop_change_nothing_and_fewer_lose_only(rule: str) -> None:
    whole = whole_tally()
    label = weighing().certify(images(), 100, N, rule=rule, seed=0).label
    found = sc.certify_tally(whole, label, ABLATION, rule=rule)
    for kept in range(1, len(LOOKS)):
        part = sc.certify_tally(stopped_after(whole, kept), label, ABLATION, rule=rule)
        assert (part.radius <= found.radius).all()
        stopped = found.num_samples <= LOOKS[kept - 1]
        np.testing.assert_array_equal(part.radius[stopped], found.radius[stopped])
        np.testing.assert_array_equal(part.num_samples[stopped], found.num_samples[stopped])


def two_classes(share: float) -> sc.Tally:
    return looks_of(np.random.default_rng(0), [share, 1 - share], [[0, 1], [1, 0]], N, 50)


def test_two_classes_decide_margin_as_majority() -> None:
    label = np.zeros(50, dtype=np.int64)
    majority, margin = (
        sc.certify_tally(two_classes(0.8), label, sc.UniformAblation(30, 4), rule=rule)
        for rule in ("majority", "margin")
    )
    np.testing.assert_array_equal(margin.radius, majority.radius)
    assert len(np.unique(majority.radius)) > 1


def test_noise_is_certified_sequentially_too() -> None:
    noise, tally, label = DiscreteNoise(64, 0.6, 2), two_classes(0.97), np.zeros(50, dtype=np.int64)
    found, fixed = (sc.certify_tally(votes, label, noise) for votes in (tally, all_looks_at(tally)))
    assert (found.radius <= fixed.radius).mean() > 0.9
    assert found.radius.mean() > 0.85 * fixed.radius.mean() > 0


def test_lower_bounds_are_thresholds_that_the_share_exceeds() -> None:
    found = certified_at_once("majority")
    thresholds = np.append(0.0, ABLATION.share_thresholds())
    np.testing.assert_array_equal(found.lower_bound, thresholds[found.radius + 1])
    share = found.tally.votes[np.arange(6), found.label] / found.num_samples
    assert (share > found.lower_bound).all()


def test_each_row_has_its_label() -> None:
    with pytest.raises(sc.InputError, match="one label for each of 6 rows"):
        sc.certify_tally(whole_tally(), [0], ABLATION)


def test_passes_stay_full_while_inputs_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, sizes = weighing(limit=200), []
    cast = classifier.cast

    def counting(source: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(mask))
        return cast(source, mask, *rest)

    x = images(12)
    classifier.predict(x, 10)  # the base classifier is tried out once, which is not counted below
    monkeypatch.setattr(classifier, "cast", counting)
    monkeypatch.setattr(classifier, "devices", (torch.device("cpu"),))  # one worker
    found = classifier.certify(x, 100, 4_000, sampling="sequential", seed=0)
    assert sum(sizes) == 1_200 + found.num_samples.sum()
    assert np.mean(sizes) > 130
