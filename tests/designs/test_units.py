"""Units of several entries, and entries that nobody can attack."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.attacks import (
    exchange_attack,
    greedy_attack,
    pointwise_attack,
    sigma_zero_attack,
    sparse_rs_attack,
)
from sparsecert.attacks.attack import Probe
from sparsecert.designs.design import build_from, design_settings
from sparsecert.rules import FAMILY_RULES
from sparsecert.smoothing.drawing import Drawing
from sparsecert.streams import Stage
from sparsecert.streams.samples import sample_stream, samples
from tests.helpers.classifiers import Alarm, images
from tests.helpers.spaces import binary_images

ENTRIES = 8
# A one-hot pair, a single entry, one nobody can attack, a group of three that lie apart, a single.
UNITS = (0, 0, 1, -1, 2, 3, 2, 2)
NUM_UNITS = 4


def unit_distances(units: tuple[int, ...]) -> NDArray[np.float64]:
    """Units in which binary inputs differ; infinite where a protected entry does."""
    every = binary_images(len(units)).astype(bool)
    differs = every[:, None] ^ every[None, :]
    owner = np.array(units)
    distance = np.zeros(differs.shape[:2])
    for unit in range(owner.max() + 1):
        distance += differs[..., owner == unit].any(axis=2)
    distance[differs[..., owner == -1].any(axis=2)] = np.inf
    return distance


def shares(ablation: sc.UniformAblation, classes: int, rng: np.random.Generator) -> Any:
    """`(inputs, classes)` exact counts, over all retained sets, of a random base classifier."""
    every = binary_images(ablation.num_entries)
    counts = np.zeros((len(every), classes), dtype=np.int64)
    favour = rng.dirichlet(np.full(classes, 0.3))
    for subset in itertools.combinations(range(ablation.num_features), ablation.num_retained):
        retained = np.zeros((1, ablation.num_features), dtype=np.bool_)
        retained[:, list(subset)] = True
        shown = every * ablation.shown(retained)[0]
        table = rng.choice(classes, size=2**ablation.num_entries, p=favour)
        answer = table[shown @ (1 << np.arange(ablation.num_entries))]
        counts[np.arange(len(every)), answer] += 1
    return counts


@pytest.mark.parametrize("k", [1, 2, 3])
def test_no_attacker_on_units_within_the_radius_changes_the_class(k: int) -> None:
    """Every attacker on every binary input, for random base classifiers."""
    ablation = sc.UniformAblation(NUM_UNITS, k, units=UNITS)
    thresholds, distance = ablation.share_thresholds(), unit_distances(UNITS)
    rng, largest = np.random.default_rng(k), -1
    for _ in range(40):
        counts = shares(ablation, 3, rng)
        label, top = counts.argmax(axis=1), counts.max(axis=1) / math.comb(NUM_UNITS, k)
        radius = (top[:, None] > thresholds).sum(axis=1) - 1
        near = distance <= radius[:, None]
        assert (label[:, None] == label[None, :])[near].all()
        largest = max(largest, int(radius.max()))
    assert largest == (1 if k == 1 else 0)  # two of four units: half of the ballots see any one


@pytest.mark.parametrize("rule", FAMILY_RULES)
def test_no_attacker_on_units_changes_the_class_of_a_family(rule: str) -> None:
    """Every attacker on every binary input; sets take parts of units as they like."""
    every, distance = binary_images(ENTRIES), unit_distances(UNITS)
    rng, largest = np.random.default_rng(len(rule)), 0
    for share in (0.05, 0.05, 0.1, 0.4):
        favour = 0.8 * rng.permutation([0, 0, 1])
        sets = rng.random((24, ENTRIES)) < share
        sets[np.arange(24), rng.integers(ENTRIES, size=24)] = True
        scores = np.empty((len(every), 24, 3))
        for number, members in enumerate(sets):
            table = rng.random((2**ENTRIES, 3)) + favour
            scores[:, number] = table[(every * members) @ (1 << np.arange(ENTRIES))]
        found = sc.certify_ballots(scores, sc.FixedAblation(sets, units=UNITS), rule)
        near = distance <= found.radius[:, None]
        assert (found.label[:, None] == found.label[None, :])[near].all()
        largest = max(largest, int(found.radius.max()))
    assert largest >= 1


def test_counting_columns_of_a_one_hot_pair_would_be_wrong() -> None:
    """One change of a category changes two columns; only with units is its radius right."""
    sets = np.eye(5, dtype=np.bool_)
    scores = np.zeros((2, 5, 2))
    scores[0, :, 0] = 1  # all five ballots for 0; the attacker turns those that it touches
    scores[1, :, 0] = 1
    scores[1, :3] = (0, 1)  # what two columns and no third make of it: 1 wins three to two
    columns = sc.certify_ballots(scores, sc.FixedAblation(sets))
    assert columns.radius[0] == 2
    pairs = sc.certify_ballots(scores, sc.FixedAblation(sets, units=(0, 0, 1, 1, 2)))
    assert pairs.radius[0] == 1
    protected = sc.certify_ballots(scores, sc.FixedAblation(sets, units=(0, 0, 1, -1, -1)))
    assert protected.radius[0] == 1


def test_entries_are_shown_with_their_unit_and_protected_ones_always() -> None:
    ablation = sc.UniformAblation(NUM_UNITS, 2, units=UNITS)
    masks = ablation.draw(samples(1, Stage.SELECTION, 0, 2_000))
    assert masks.shape == (2_000, ENTRIES)
    assert masks[:, 3].all()
    np.testing.assert_array_equal(masks[:, 0], masks[:, 1])
    np.testing.assert_array_equal(masks[:, 4], masks[:, 7])
    retained = masks[:, [0, 2, 4, 5]]
    assert (retained.sum(axis=1) == 2).all()
    _, times = np.unique(retained, axis=0, return_counts=True)
    assert len(times) == 6
    assert times.min() > 250
    grouped = Drawing(
        ablation,
        [sample_stream(1, Stage.SELECTION, 0)],
        50,
        0,
        torch.device("cpu"),
    )
    np.testing.assert_array_equal(grouped(0, 50).numpy(), masks[:50])
    np.testing.assert_array_equal(grouped.retained_sets(ablation, 0, 50).numpy(), masks[:50])


def test_patches_are_units() -> None:
    units = sc.patch_units((5, 4), 2)
    assert units.tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2 + [[4, 4, 5, 5]]
    ablation = sc.UniformAblation(6, 2, units=units)
    encoded = sc.ablate(images(30, shape=(3, 5, 4)), ablation, seed=1)
    shown = encoded[:, 0].bool() | encoded[:, 3].bool()
    whole = torch.from_numpy(units)
    for number in range(30):
        assert len(whole[shown[number]].unique()) == 2  # type: ignore[no-untyped-call]
    base = nn.Sequential(nn.Flatten(), nn.Linear(40, 3))
    smoothed = sc.SmoothedClassifier(base, ablation, 3)
    found = smoothed.certify(images(3, shape=(1, 5, 4)), 50, 500)
    assert found.radius.max() <= 6


def test_protected_entries_are_numbered_out() -> None:
    assert sc.protect(np.arange(5), [1, 3]).tolist() == [0, -1, 1, -1, 2]
    assert sc.protect([[0, 0], [1, 2]], [2]).tolist() == [[0, 0], [-1, 1]]


def test_settings_of_designs_hold_their_units_only_where_there_are_any() -> None:
    plain = sc.UniformAblation(8, 2)
    assert design_settings(plain) == {"design": "uniform", "num_features": 8, "num_retained": 2}
    grouped = sc.UniformAblation(NUM_UNITS, 2, units=UNITS)
    settings = design_settings(grouped)
    assert build_from(sc.UniformAblation, {**settings, "units": list(UNITS)}) == grouped


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: sc.UniformAblation(3, 1, units=UNITS), "the number of units, 4, got 3"),
        (lambda: sc.UniformAblation(2, 1, units=(0, 2)), "0, 1, ... with none left out"),
        (lambda: sc.UniformAblation(2, 1, units=(-1, -1)), "none left out"),
        (lambda: sc.UniformAblation(2, 1, units=(0.0, 1.0)), "units as integers"),
        (lambda: sc.UniformAblation(2, 1, units=(-2, 0, 1)), "none left out"),
        (
            lambda: sc.FixedAblation(np.eye(3, dtype=bool), units=(0, 1)),
            "a unit for each of 3 entries",
        ),
        (lambda: sc.patch_units((4, 4), 0), "at least 1 pixel a side"),
        (lambda: sc.protect([0, 1], [2]), "entries from 0 to 1, got 2"),
        (lambda: sc.protect([0, 0], [0, 1]), "all 2 entries are protected"),
    ],
)
def test_what_are_no_units_gets_a_sentence(build: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        build()


def test_inputs_of_another_size_get_a_sentence() -> None:
    ablation = sc.UniformAblation(NUM_UNITS, 2, units=UNITS)
    with pytest.raises(sc.InputError, match="with 8 features, as the ablation has, got 4"):
        sc.ablate(torch.zeros(1, 4), ablation)


SMALL = Probe(num_samples=1_000, num_search=300, num_gradient=64)


class Bright(nn.Module):
    """Votes 1 where a retained and unprotected pixel is bright."""

    def forward(self, encoded: Tensor) -> Tensor:
        logits: Tensor = Alarm()(encoded[:, :, 1:])
        return logits


@pytest.mark.parametrize(
    "attack",
    [pointwise_attack, sparse_rs_attack, sigma_zero_attack, greedy_attack, exchange_attack],
)
def test_attacks_change_whole_units_and_nothing_protected(attack: Callable[..., Any]) -> None:
    """The first row is protected; the others are 2 x 2 patches."""
    units = sc.protect(np.vstack([np.full((1, 6), 9), sc.patch_units((6, 6), 2)]), range(6))
    ablation = sc.UniformAblation(9, 3, units=units)
    smoothed = sc.SmoothedClassifier(Bright(), ablation, 2)
    x = 0.4 * images(2, 2, (1, 7, 6))
    found = attack(smoothed, x, [0, 0], probe=SMALL)
    assert found.success.all()
    for adversarial, image, size in zip(found.adversarial, x, found.size, strict=True):
        differs = (adversarial != image)[0].numpy()
        assert not differs[0].any()
        assert len(np.unique(units[differs])) == size
    # Three of nine units retained: two changed ones are in more than half of the ballots.
    assert (found.size == 2).all()


@pytest.mark.parametrize("rule", list(FAMILY_RULES))
def test_where_nothing_can_be_attacked_all_is_certified(rule: str) -> None:
    family = sc.FixedAblation(
        np.array([[True, False]] * 3), units=[-1, 0]
    )  # each set shows the protected entry
    found = sc.certify_ballots(np.array([[[1.0, 0.0]] * 3]), family, rule=rule)
    assert found.radius.item() == family.num_features
