"""The pairwise rule against every attacker on small spaces, and its error rates by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.theory.majority import largest_certified
from sparsecert.theory.shift import majority_thresholds
from tests.helpers.spaces import (
    ABOVE,
    CLASSES,
    RANKINGS,
    all_ballots,
    assert_no_change_within,
    distances,
)
from tests.helpers.votes import all_looks_at, looks_of


def smoothed_classes(tally: sc.Tally) -> NDArray[np.int64]:
    """g of the pairwise rule at population values."""
    winner = tally.pairwise_winner
    return np.where(winner < 0, tally.top, winner)


@pytest.mark.parametrize(("d", "k"), [(d, k) for d in range(1, 8) for k in range(1, d + 1)])
def test_no_attacker_beats_the_pairwise_rule_and_it_is_never_below_majority(d: int, k: int) -> None:
    rng = np.random.default_rng((d, k))
    thresholds, total = majority_thresholds(d, k), math.comb(d, k)
    for _ in range(4):
        tally = all_ballots(d, k, rng)
        g = smoothed_classes(tally)
        shares = tally.min_pairwise_wins[np.arange(2**d), g] / total
        radius = largest_certified(thresholds, shares)
        assert_no_change_within(radius, g)
        majority = largest_certified(thresholds, tally.first_choice.max(axis=1) / total)
        certified = majority >= 0
        np.testing.assert_array_equal(g[certified], tally.top[certified])
        assert (radius >= majority).all()


def test_the_same_votes_never_certify_less_than_majority() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(6, 0.5), size=40)
    ablation = sc.UniformAblation(64, 6)
    gains = 0
    for row in shares:
        tally = all_looks_at(looks_of(rng, row, RANKINGS, 400, 10))
        label = np.full(10, int(np.argmax(np.einsum("r,rcj->c", row, ABOVE))))
        pairwise = sc.certify_tally(tally, label, ablation, 0.05, "pairwise").radius
        majority = sc.certify_tally(tally, label, ablation, 0.05, "majority").radius
        assert (pairwise >= majority).all()
        gains += int((pairwise > majority).sum())
    assert gains > 20


def test_pairwise_answers_where_plurality_is_split() -> None:
    """Class 0 is nearly everybody's second choice: last by first choices, ahead in every pair."""
    rng, rankings = np.random.default_rng(0), [[1, 0, 2], [2, 0, 1], [0, 1, 2]]
    tally = all_looks_at(looks_of(rng, [0.35, 0.35, 0.3], rankings, 10_000, 1))
    assert sc.predict_tally(tally, rule="pairwise").label.tolist() == [0]
    assert sc.predict_tally(tally, rule="majority").label.tolist() != [0]


@pytest.mark.parametrize(("d", "k"), [(d, k) for d in range(2, 8) for k in range(1, d)])
def test_no_attacker_beats_a_shortlist_whichever_classes_are_on_it(d: int, k: int) -> None:
    """For every label, at population values: the shortlist may differ from image to image."""
    rng = np.random.default_rng((d, k, 1))
    distance, total = distances(d), math.comb(d, k)
    thresholds = majority_thresholds(d, k)
    for size in (1, 2):
        whole = all_ballots(d, k, rng)
        assert whole.head_to_head is not None
        tracked = np.stack([rng.permutation(CLASSES)[:size] for _ in range(2**d)])
        rows = np.take_along_axis(whole.head_to_head, tracked[:, :, None], axis=1)
        tally = sc.Tally(whole.first_choice, rows, tracked)
        g = smoothed_classes(whole)
        every = largest_certified(thresholds, whole.min_pairwise_wins / total)
        radius = largest_certified(thresholds, tally.min_pairwise_wins / total)
        majority = largest_certified(thresholds, whole.first_choice / total)
        assert (radius <= every).all()
        assert (radius >= majority).all()
        for label in range(CLASSES):
            beaten = (g[None, :] != label) & (distance <= radius[:, label, None])
            assert not beaten.any()
