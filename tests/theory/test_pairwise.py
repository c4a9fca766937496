"""The pairwise rule against every attacker on small spaces, and its error rates by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.theory.majority import largest_certified
from sparsecert.theory.shift import majority_thresholds
from tests.theory.test_radius import distances

CLASSES = 3
RANKINGS = np.array(list(itertools.permutations(range(CLASSES))))
PLACES = np.argsort(RANKINGS, axis=1)
ABOVE = (PLACES[:, :, None] < PLACES[:, None, :]).astype(np.int64)


def all_ballots(d: int, k: int, rng: np.random.Generator) -> sc.Tally:
    """Ballots of one random base classifier on every binary image, over all retained sets.

    The base classifier is any function from the retained set and values to a ranking.
    """
    images = np.array(list(itertools.product((0, 1), repeat=d)))
    favour = rng.dirichlet(np.full(len(RANKINGS), 0.2))
    first = np.zeros((2**d, CLASSES), dtype=np.int64)
    pairs = np.zeros((2**d, CLASSES, CLASSES), dtype=np.int64)
    for subset in itertools.combinations(range(d), k):
        table = rng.choice(len(RANKINGS), size=2**k, p=favour)
        seen = table[images[:, subset] @ (1 << np.arange(k))]
        first[np.arange(2**d), RANKINGS[seen, 0]] += 1
        pairs += ABOVE[seen]
    return sc.Tally(first, pairs)


def smoothed_classes(tally: sc.Tally) -> NDArray[np.int64]:
    """g of the pairwise rule at population values."""
    winner = tally.pairwise_winner
    return np.where(winner < 0, tally.top, winner)


@pytest.mark.parametrize(("d", "k"), [(d, k) for d in range(1, 8) for k in range(1, d + 1)])
def test_no_attacker_beats_the_pairwise_rule_and_it_is_never_below_majority(d: int, k: int) -> None:
    rng = np.random.default_rng((d, k))
    distance, total = distances(d), math.comb(d, k)
    thresholds = majority_thresholds(d, k)
    for _ in range(4):
        tally = all_ballots(d, k, rng)
        g = smoothed_classes(tally)
        shares = tally.min_pairwise_wins[np.arange(2**d), g] / total
        radius = largest_certified(thresholds, shares)
        same = g[:, None] == g[None, :]
        assert same[distance <= radius[:, None]].all()
        majority = largest_certified(thresholds, tally.first_choice.max(axis=1) / total)
        certified = majority >= 0
        np.testing.assert_array_equal(g[certified], tally.top[certified])
        assert (radius >= majority).all()


def sampled(shares: NDArray[np.float64], n: int, trials: int, rng: np.random.Generator) -> sc.Tally:
    """Tallies of n ballots each, drawn from shares of the six rankings."""
    counts = rng.multinomial(n, shares, size=trials)
    first = np.stack([counts[:, RANKINGS[:, 0] == c].sum(axis=1) for c in range(CLASSES)], axis=1)
    return sc.Tally(first, np.einsum("tr,rcj->tcj", counts, ABOVE))


def shares_of(**rankings: float) -> NDArray[np.float64]:
    """Shares by ranking, written as `r012=0.5`."""
    names = ["r" + "".join(map(str, ranking)) for ranking in RANKINGS]
    return np.array([rankings.get(name, 0.0) for name in names])


def is_rare(errors: int, trials: int, alpha: float) -> bool:
    """Whether so many errors are no evidence, at four standard deviations, of more than alpha."""
    return errors <= alpha * trials + 4 * math.sqrt(trials * alpha * (1 - alpha))


@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("rivals", ["one strong", "two equal", "two opposed"])
def test_error_rate_at_the_hardest_shares(radius: int, rivals: str) -> None:
    """Class 0 sits on the threshold of `radius` against one rival or both: certifying errs.

    "two opposed": every ballot against class 0 is for one rival only, so that the two head-to-head
    counts are correlated as negatively as they can be, the worst case for a union of tests.
    """
    share = float(np.nextafter(majority_thresholds(20, 2)[radius], 0))
    rest = 1 - share
    shares = {
        "one strong": shares_of(r012=share, r102=rest),
        "two equal": shares_of(r012=share, r120=rest / 2, r210=rest / 2),
        "two opposed": shares_of(r012=1 - 2 * rest, r102=rest, r201=rest),
    }[rivals]
    trials, alpha = 20_000, 0.05
    rng = np.random.default_rng((radius, len(rivals)))
    tally = sampled(shares, 500, trials, rng)
    label = np.zeros(trials, dtype=np.int64)
    result = sc.certify_tally(tally, label, sc.UniformAblation(20, 2), alpha, "pairwise")
    errors = int((result.radius >= radius).sum())
    assert is_rare(errors, trials, alpha)
    if rivals != "two opposed":
        assert errors > 0.5 * alpha * trials  # all of alpha goes to each rival
    misses = int((result.lower_bound > tally_share(shares)).sum())
    assert is_rare(misses, trials, alpha)


def tally_share(shares: NDArray[np.float64]) -> float:
    """The least head-to-head share of class 0."""
    pairs = np.einsum("r,rcj->cj", shares, ABOVE)
    return float(pairs[0, 1:].min())


def test_the_same_votes_never_certify_less_than_majority() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(6, 0.5), size=40)
    ablation = sc.UniformAblation(64, 6)
    gains = 0
    for row in shares:
        tally = sampled(row, 400, 10, rng)
        label = np.full(10, int(np.argmax(np.einsum("r,rcj->c", row, ABOVE))))
        pairwise = sc.certify_tally(tally, label, ablation, 0.05, "pairwise").radius
        majority = sc.certify_tally(tally, label, ablation, 0.05, "majority").radius
        assert (pairwise >= majority).all()
        gains += int((pairwise > majority).sum())
    assert gains > 20


@pytest.mark.parametrize(
    "shares",
    [
        # All but tied with the true winner, class 2, which is last by index.
        shares_of(r201=0.505, r021=0.495),
        shares_of(r012=0.249, r021=0.249, r201=0.251, r210=0.251),
        # Opposed rivals: whatever is above class 2 is there alone.
        shares_of(r021=0.4995, r120=0.4995, r201=0.001),
        # No pairwise winner: a cycle, and all but ties. g is the plurality's, class 2.
        shares_of(r012=0.333, r120=0.333, r201=0.334),
        shares_of(r012=0.3, r201=0.35, r210=0.05, r120=0.3),
        shares_of(r012=0.25, r021=0.2, r102=0.05, r201=0.5),
    ],
)
def test_wrong_pairwise_predictions_are_as_rare_as_alpha(shares: NDArray[np.float64]) -> None:
    pairs = np.einsum("r,rcj->cj", shares, ABOVE)
    first = np.bincount(RANKINGS[:, 0], weights=shares)
    winners = [c for c in range(CLASSES) if all(pairs[c, j] > 0.5 for j in range(3) if j != c)]
    truth = winners[0] if winners else int(first.argmax())
    assert truth == 2
    trials = 20_000
    tally = sampled(shares, 1_000, trials, np.random.default_rng(1))
    for alpha in (0.05, 0.3):
        label = sc.predict_tally(tally, alpha, "pairwise").label
        assert is_rare(int(((label != truth) & (label != sc.ABSTAIN)).sum()), trials, alpha)


def test_the_prediction_test_is_not_needlessly_strict() -> None:
    """Two opposed rivals, both all but tied with the winner, come close to all of alpha."""
    shares = shares_of(r021=0.4999, r120=0.4999, r201=0.0002)
    tally = sampled(shares, 1_000, 20_000, np.random.default_rng(0))
    label = sc.predict_tally(tally, 0.05, "pairwise").label
    assert (label < 2).sum() - (label == sc.ABSTAIN).sum() > 0.6 * 0.05 * 20_000


def test_pairwise_answers_where_plurality_is_split() -> None:
    """Class 0 is nearly everybody's second choice: last by first choices, ahead in every pair."""
    tally = sampled(shares_of(r102=0.35, r201=0.35, r012=0.3), 10_000, 1, np.random.default_rng(0))
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
