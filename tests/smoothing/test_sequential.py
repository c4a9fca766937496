"""Sequential sampling through the smoothed classifier, and its counts in memory and on disk."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import sparsecert as sc
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.errors import RunFolderError
from sparsecert.sequential_certification import (
    Stop,
    certified_by_look,
    certify_looks,
    predict_looks,
    stop,
)
from sparsecert.smoothing.sequential import tally_looks
from sparsecert.streams import Stage
from sparsecert.theory.sequential import look_schedule
from sparsecert.votes.look_store import LookSettings, LookStore
from sparsecert.votes.look_tally import LookTally
from sparsecert.votes.parquet import write_part
from sparsecert.votes.store import Stored
from tests.smoothing.test_sampled import CLASSES, images

D, K, N = 16, 2, 1_000
RULES = ["majority", "margin", "pairwise"]


class Weighing(nn.Module):
    """Weighs retained pixels, bright against dark: shares differ from image to image."""

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        weights = torch.randn(D, CLASSES, generator=torch.Generator().manual_seed(2))
        value, complement = encoded.flatten(2).unbind(dim=1)
        return (value - complement) @ weights + torch.tensor([0.5, 0.0, 0.1])


def smoothed(limit: int | None = None) -> sc.SmoothedClassifier:
    return sc.SmoothedClassifier(
        Weighing(), sc.UniformAblation(D, K), CLASSES, ballots_per_pass=limit
    )


def counted(count: int = 6, n: int = N) -> LookTally:
    return tally_looks(smoothed(), images(count), n, Stage.ESTIMATION)


def certified_at_once(rule: str) -> sc.Certification:
    return smoothed().certify(images(), 100, N, rule=rule, sampling="sequential")


def test_looks_hold_the_votes_of_smaller_tallies() -> None:
    tally = counted()
    for look, ballots in enumerate(tally.looks):
        fixed = smoothed().tally(images(), int(ballots), Stage.ESTIMATION)
        found = tally.at(np.full(6, look))
        np.testing.assert_array_equal(found.first_choice, fixed.first_choice)
        assert found.head_to_head is not None
        assert fixed.head_to_head is not None
        np.testing.assert_array_equal(found.head_to_head, fixed.head_to_head)


@pytest.mark.parametrize("rule", RULES)
def test_certify_stops_where_a_replay_of_all_ballots_does(rule: str) -> None:
    label = smoothed().certify(images(), 100, N, rule=rule).label
    replayed = certify_looks(counted(), label, sc.UniformAblation(D, K), rule=rule)
    found = certified_at_once(rule)
    np.testing.assert_array_equal(found.label, label)
    np.testing.assert_array_equal(found.radius, replayed.radius)
    np.testing.assert_array_equal(found.num_samples, replayed.num_samples)
    np.testing.assert_array_equal(found.tally.first_choice, replayed.tally.first_choice)
    assert len(np.unique(found.num_samples)) > 1
    assert set(found.num_samples) <= set(look_schedule(N))


@pytest.mark.parametrize("rule", RULES)
def test_results_depend_on_neither_order_nor_batch_nor_pass(rule: str) -> None:
    together = certified_at_once(rule)
    order = [4, 1, 5, 0, 3, 2]
    shuffled = smoothed(37).certify(
        images()[order], 100, N, rule=rule, sampling="sequential", indices=order
    )
    np.testing.assert_array_equal(shuffled.radius, together.radius[order])
    np.testing.assert_array_equal(shuffled.num_samples, together.num_samples[order])
    for row in range(6):
        alone = smoothed().certify(
            images()[row : row + 1], 100, N, rule=rule, sampling="sequential", indices=[row]
        )
        assert (alone.radius[0], alone.num_samples[0], alone.lower_bound[0]) == (
            together.radius[row],
            together.num_samples[row],
            together.lower_bound[row],
        )


@pytest.mark.parametrize("rule", RULES)
def test_predictions_stop_early_and_agree_with_the_fixed_ones(rule: str) -> None:
    fixed = smoothed().predict(images(), N, rule=rule)
    found = smoothed().predict(images(), N, rule=rule, sampling="sequential")
    both = (found.label >= 0) & (fixed.label >= 0)
    assert both.sum() >= 4
    np.testing.assert_array_equal(found.label[both], fixed.label[both])
    assert (found.num_samples <= N).all()
    assert found.num_samples.mean() < N / 2
    np.testing.assert_array_equal(found.num_samples, found.counts.sum(axis=1))
    np.testing.assert_array_equal(fixed.num_samples, [N] * 6)


def test_a_budget_of_one_look_is_the_fixed_plan() -> None:
    for rule in RULES:
        fixed = smoothed().certify(images(), 100, 110, rule=rule)
        found = smoothed().certify(images(), 100, 110, rule=rule, sampling="sequential")
        np.testing.assert_array_equal(found.radius, fixed.radius)
        np.testing.assert_array_equal(found.num_samples, [110] * 6)
        fixed_label = smoothed().predict(images(), 110, rule=rule).label
        found_label = smoothed().predict(images(), 110, rule=rule, sampling="sequential").label
        np.testing.assert_array_equal(found_label, fixed_label)


def test_counting_can_be_gone_on_with() -> None:
    whole = counted()
    label = whole.at(np.zeros(6, dtype=np.int64)).top

    def stops(tally: LookTally, rows: NDArray[np.int64]) -> Stop:
        ablation = sc.UniformAblation(D, K)
        return stop(tally, certified_by_look(tally, label[rows], ablation, 0.05, "majority"))

    begun = tally_looks(smoothed(), images(), N, Stage.ESTIMATION, stops)
    assert begun.num_reached.min() < len(begun.looks)
    assert len(np.unique(begun.num_reached)) > 1
    again = tally_looks(smoothed(), images(), N, Stage.ESTIMATION, stops, before=begun)
    np.testing.assert_array_equal(again.first_choice, begun.first_choice)
    ended = tally_looks(smoothed(), images(), N, Stage.ESTIMATION, before=begun)
    np.testing.assert_array_equal(ended.first_choice, whole.first_choice)
    assert ended.head_to_head is not None
    assert whole.head_to_head is not None
    np.testing.assert_array_equal(ended.head_to_head, whole.head_to_head)


@pytest.mark.parametrize("rule", RULES)
def test_more_looks_than_the_stop_change_nothing_and_fewer_lose_only(rule: str) -> None:
    ablation, whole = sc.UniformAblation(D, K), counted()
    label = smoothed().certify(images(), 100, N, rule=rule).label
    found = certify_looks(whole, label, ablation, rule=rule)
    for kept in range(1, len(whole.looks)):
        first_choice = whole.first_choice.copy()
        first_choice[:, kept:] = 0
        assert whole.head_to_head is not None
        pairs = whole.head_to_head.copy()
        pairs[:, kept:] = 0
        part = certify_looks(LookTally(N, first_choice, pairs), label, ablation, rule=rule)
        assert (part.radius <= found.radius).all()
        stopped = found.num_samples <= whole.looks[kept - 1]
        np.testing.assert_array_equal(part.radius[stopped], found.radius[stopped])
        np.testing.assert_array_equal(part.num_samples[stopped], found.num_samples[stopped])


def test_two_classes_decide_margin_as_majority() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.binomial(m, 0.8, 50) for m in np.diff(look_schedule(N), prepend=0)]
    votes = np.cumsum(np.stack(draws, axis=1), axis=1)
    tally = LookTally(N, np.stack((votes, look_schedule(N) - votes), axis=2))
    label = np.zeros(50, dtype=np.int64)
    majority, margin = (
        certify_looks(tally, label, sc.UniformAblation(30, 4), rule=rule)
        for rule in ("majority", "margin")
    )
    np.testing.assert_array_equal(margin.radius, majority.radius)
    assert len(np.unique(majority.radius)) > 1


def test_noise_is_certified_sequentially_too() -> None:
    noise = DiscreteNoise(64, 0.6, 2)
    rng = np.random.default_rng(0)
    draws = [rng.binomial(m, 0.97, 50) for m in np.diff(look_schedule(N), prepend=0)]
    votes = np.cumsum(np.stack(draws, axis=1), axis=1)
    tally = LookTally(N, np.stack((votes, look_schedule(N) - votes), axis=2))
    label = np.zeros(50, dtype=np.int64)
    found = certify_looks(tally, label, noise)
    whole = tally.at(np.full(50, len(tally.looks) - 1))
    fixed = sc.certify_tally(whole, label, noise)
    assert (found.radius <= fixed.radius).mean() > 0.9
    assert found.radius.mean() > 0.85 * fixed.radius.mean() > 0


def test_lower_bounds_are_thresholds_that_the_share_exceeds() -> None:
    found = certified_at_once("majority")
    thresholds = np.append(0.0, sc.UniformAblation(D, K).thresholds("majority", 1.0))
    np.testing.assert_array_equal(found.lower_bound, thresholds[found.radius + 1])
    share = found.tally.first_choice[np.arange(6), found.label] / found.num_samples
    assert (share > found.lower_bound).all()


def test_many_classes_have_first_choices_stand_in() -> None:
    counts = np.zeros((1, len(look_schedule(N)), 40), dtype=np.int64)
    counts[0, :, 0] = look_schedule(N)
    tally = LookTally(N, counts)
    ablation = sc.UniformAblation(D, K)
    pairwise, majority = (
        certify_looks(tally, [0], ablation, rule=rule) for rule in ("pairwise", "majority")
    )
    assert pairwise.radius.tolist() == majority.radius.tolist() != [-1]
    assert predict_looks(tally, rule="pairwise").label.tolist() == [0]


def test_empty_batch() -> None:
    for rule in RULES:
        found = smoothed().certify(images()[:0], 100, N, rule=rule, sampling="sequential")
        assert len(found.radius) == len(found.num_samples) == 0
        named = smoothed().predict(images()[:0], N, rule=rule, sampling="sequential")
        assert len(named.label) == 0


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(sc.InputError, match="one of fixed, sequential, got 'bogus'"):
        smoothed().certify(images(), sampling="bogus")
    with pytest.raises(sc.InputError, match="one of fixed, sequential, got 'bogus'"):
        smoothed().predict(images(), sampling="bogus")
    with pytest.raises(sc.InputError, match="num_samples to be at least 1, got 0"):
        smoothed().predict(images(), 0, sampling="sequential")
    with pytest.raises(sc.InputError, match="expected rule to be one of"):
        smoothed().certify(images(), 10, 20, rule="bogus", sampling="sequential")
    with pytest.raises(sc.InputError, match="one label for each of 6 rows"):
        certify_looks(counted(), [0], sc.UniformAblation(D, K))
    with pytest.warns(sc.TooFewSamplesWarning, match="4 samples cannot certify anything"):
        smoothed().certify(images(), 10, 4, sampling="sequential")


@pytest.mark.usefixtures("unchecked")
def test_counts_that_no_ballots_give_are_refused() -> None:
    tally = counted(2)
    assert tally.head_to_head is not None
    with pytest.raises(sc.InputError, match=r"looks, got \(2, 1, 3\)"):
        LookTally(N, tally.first_choice[:, :1])
    more = tally.first_choice.copy()
    more[0, 3, 0] += 1
    with pytest.raises(sc.InputError, match="add up to"):
        LookTally(N, more)
    gap = tally.first_choice.copy()
    gap[0, 0] = 0
    with pytest.raises(sc.InputError, match="add up to"):
        LookTally(N, gap)
    falling = tally.first_choice.copy()
    falling[0, 1] = np.array([0, 0, tally.looks[1]])
    falling[0, 0] = np.array([tally.looks[0], 0, 0])
    with pytest.raises(sc.InputError, match="do not fall"):
        LookTally(N, falling)
    with pytest.raises(sc.InputError, match="do not fall"):  # differences would wrap around
        LookTally(N, falling.astype(np.uint32))
    with pytest.raises(sc.InputError, match="expected head_to_head of shape"):
        LookTally(N, tally.first_choice, tally.head_to_head[:, :1])
    with pytest.raises(sc.InputError, match="to be integers"):
        LookTally(N, tally.first_choice.astype(np.float64))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
def test_unsigned_counts_are_as_good_as_others(kind: type[np.unsignedinteger]) -> None:
    tally = counted(2)
    assert tally.head_to_head is not None
    same = LookTally(N, tally.first_choice.astype(kind), tally.head_to_head.astype(kind))
    label = tally.first_choice[:, -1].argmax(axis=1)
    ablation = sc.UniformAblation(D, K)
    for rule in ("majority", "pairwise"):
        found, expected = (sc.certify_looks(t, label, ablation, rule=rule) for t in (same, tally))
        np.testing.assert_array_equal(found.radius, expected.radius)


SETTINGS = LookSettings("model", "data", 0, "estimation", N, tuple(map(int, look_schedule(N))))


def shortened(tally: LookTally, looks: int) -> LookTally:
    first_choice = tally.first_choice.copy()
    first_choice[:, looks:] = 0
    assert tally.head_to_head is not None
    pairs = tally.head_to_head.copy()
    pairs[:, looks:] = 0
    return LookTally(tally.budget, first_choice, pairs)


def test_stored_counts_come_back_and_the_furthest_count_is_used(tmp_path: Path) -> None:
    store, tally = LookStore(tmp_path, CLASSES), counted()
    rows = np.arange(6)
    store.append(SETTINGS, [Stored(rows, np.ones(6), tally)])
    store.append(SETTINGS, [Stored(rows[:3], np.zeros(3), shortened(tally, 2).take(rows[:3]))])
    store.append(SETTINGS, [Stored(rows[5:] + 2, np.ones(1), shortened(tally, 4).take(rows[5:]))])
    for _ in range(2):
        read = store.read(SETTINGS)
        assert read.indices.tolist() == [0, 1, 2, 3, 4, 5, 7]
        np.testing.assert_array_equal(read.votes.first_choice[:6], tally.first_choice)
        assert read.votes.head_to_head is not None
        assert tally.head_to_head is not None
        np.testing.assert_array_equal(read.votes.head_to_head[:6], tally.head_to_head)
        assert read.votes.num_reached.tolist() == [len(tally.looks)] * 6 + [4]
        assert read.seconds.tolist() == [1] * 7
        store.compact(SETTINGS)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(store.read(replace(SETTINGS, seed=1)).votes) == 0


def test_damaged_counts_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    store, tally = LookStore(tmp_path, CLASSES), counted()
    store.append(SETTINGS, [Stored(np.arange(6), np.ones(6), tally)])
    (path,) = tmp_path.iterdir()
    with pytest.raises(RunFolderError, match=f"{path.name} was made with another model"):
        store.read(replace(SETTINGS, fingerprint="other"))
    columns = {
        "index": np.arange(6),
        "seconds": np.ones(6),
        "first_choice": (tally.first_choice + 1).reshape(6, -1),
    }
    write_part(tmp_path, "estimation-sequential", 0, columns, asdict(SETTINGS))
    with pytest.raises(RunFolderError, match="numbers that cannot be"):
        store.read(SETTINGS)


def test_passes_stay_full_while_inputs_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, sizes = smoothed(200), []
    cast = classifier.cast

    def counting(source: torch.Tensor, mask: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(mask))
        return cast(source, mask, *rest)

    monkeypatch.setattr(classifier, "cast", counting)
    monkeypatch.setattr(classifier, "devices", (torch.device("cpu"),))  # all in one lane
    x = images(12)
    found = classifier.certify(x, 100, 4_000, sampling="sequential")
    assert sum(sizes) == 1_200 + found.num_samples.sum()
    assert np.mean(sizes) > 130
