"""The top K of random ablation: inputs of small spaces, and errors at the hardest shares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.designs.uniform import UniformAblation
from sparsecert.rules import RULES
from sparsecert.theory.confidence import clopper_pearson_upper
from sparsecert.theory.margin import margin_lead
from sparsecert.theory.schedule import growing_looks
from sparsecert.theory.shift import ablation_shift
from tests.helpers.spaces import binary_images, distances, is_rare

CLASSES = 5
TOP_RULES = [name for name, rule in RULES.items() if rule.has_top]


def exact_ballots(
    d: int, k: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First choices and head-to-head wins on every binary image, over all retained sets."""
    images = binary_images(d)
    rankings = np.array(list(itertools.permutations(range(CLASSES))))
    places = np.argsort(rankings, axis=1)
    favour = rng.dirichlet(np.full(len(rankings), 0.05))
    first = np.zeros((2**d, CLASSES), dtype=np.int64)
    wins = np.zeros((2**d, CLASSES, CLASSES), dtype=np.int64)
    for subset in itertools.combinations(range(d), k):
        seen = rng.choice(len(rankings), size=2**k, p=favour)[
            images[:, subset] @ (1 << np.arange(k))
        ]
        first[np.arange(2**d), rankings[seen, 0]] += 1
        wins += places[seen][:, :, None] < places[seen][:, None, :]
    return first, wins


@pytest.mark.parametrize("rule", TOP_RULES)
@pytest.mark.parametrize("top", [2, 3])
def test_with_exact_shares_no_input_within_the_radius_leaves_the_top(rule: str, top: int) -> None:
    """The statements, with shares in the place of their bounds, against every binary input."""
    d, k = 7, 1
    rng = np.random.default_rng((top, len(rule)))
    near, largest = distances(d), 0
    shift = np.asarray(ablation_shift(d, k, np.arange(d + 1)))
    for _ in range(6):
        first, wins = exact_ballots(d, k, rng)
        total = first[0].sum()
        for c in range(CLASSES):
            others = np.delete(np.arange(CLASSES), c)
            if rule == "pairwise":
                shares = np.sort(wins[:, c, others] / total, axis=1)
                member = (2 * wins[:, c, others] <= total).sum(axis=1) < top
                holds = shares[:, [top - 1]] - shift > 0.5 + 1e-9
            else:
                own, rivals = (
                    first[:, c] / total,
                    np.sort(first[:, others] / total, axis=1)[:, -top:],
                )
                member = (first[:, others] >= first[:, [c]]).sum(axis=1) < top
                lead = np.maximum(0, own[:, None, None] - shift[None, :, None] - rivals[:, None, :])
                holds = lead.sum(axis=2) > shift + 1e-9
            radius = holds.sum(axis=1) - 1
            assert (np.diff(holds.astype(int), axis=1) <= 0).all()
            stays = member[None, :] | (near > radius[:, None])
            assert stays.all()
            largest = max(largest, int(radius.max()))
    assert largest >= 2


def ballots_of(
    rng: np.random.Generator, rule: str, shares: NDArray[np.float64], n: int, trials: int
) -> sc.Tally:
    """Tallies of class 0 at these shares against each rival, as independent as rankings allow.

    Pairwise: on a ballot each rival is above class 0 with its own probability. First choices: as
    given.
    """
    classes = len(shares) + 1
    if rule == "margin":
        probabilities = np.append(shares, 1 - shares.sum())
        first = rng.multinomial(n, probabilities, size=trials)
        return sc.Tally(first)
    wins = rng.binomial(n, shares, size=(trials, len(shares)))
    pairs = np.zeros((trials, classes, classes), dtype=np.int64)
    pairs[:, 0, 1:], pairs[:, 1:, 0] = wins, n - wins
    for a, b in itertools.combinations(range(1, classes), 2):
        pairs[:, a, b], pairs[:, b, a] = n - n // 2, n // 2
    first = np.zeros((trials, classes), dtype=np.int64)
    # Counts of first choices are not read; these are possible ones for most wins.
    return sc.Tally.trusted(first + _spread(n, classes), pairs, None, None)


def _spread(n: int, classes: int) -> NDArray[np.int64]:
    counts = np.full(classes, n // classes)
    counts[0] += n - counts.sum()
    return counts


@pytest.mark.parametrize(("top", "failing"), [(2, 2), (2, 4), (3, 3), (3, 6)])
def test_pairwise_errors_at_the_hardest_shares(top: int, failing: int) -> None:
    """Rivals that fail at R + 1 by nothing; with as many as K, alpha / K each is nearly needed."""
    d, k, n, alpha, trials = 30, 5, 400, 0.1, 20_000
    design, rho = UniformAblation(d, k), 2
    hardest = float(design.share_thresholds()[rho])  # at R + 1 = rho the statement just fails
    rng = np.random.default_rng((top, failing))
    shares = np.concatenate([np.full(failing, hardest), np.full(7 - failing, 0.999)])
    tally = ballots_of(rng, "pairwise", shares, n, trials)
    result = sc.certify_tally(tally, np.zeros(trials, np.int64), design, alpha, "pairwise", top)
    errors = int((result.radius >= rho).sum())
    assert is_rare(errors, trials, alpha)
    assert result.radius.max() >= rho - 1


def test_a_pairwise_error_rate_near_alpha_over_k_for_rivals_that_err_together() -> None:
    """All failing rivals above class 0 on the same ballots: one error is that of all."""
    d, k, n, alpha, trials, top = 30, 5, 2_000, 0.1, 40_000, 3
    design, rho = UniformAblation(d, k), 2
    hardest = float(design.share_thresholds()[rho])
    rng = np.random.default_rng(0)
    same = rng.binomial(n, hardest, size=trials)
    tally = ballots_of(rng, "pairwise", np.full(7, 0.999), n, trials)
    pairs = tally.head_to_head
    assert pairs is not None
    pairs[:, 0, 1 : top + 1] = same[:, None]
    pairs[:, 1 : top + 1, 0] = n - same[:, None]
    result = sc.certify_tally(tally, np.zeros(trials, np.int64), design, alpha, "pairwise", top)
    errors = int((result.radius >= rho).sum())
    assert is_rare(errors, trials, alpha / top)
    assert errors > 0.7 * trials * alpha / top


@pytest.mark.parametrize("top", [1, 2, 3])
def test_first_choice_errors_at_the_hardest_shares(top: int) -> None:
    """Shares at which the statement fails at R + 1 by nothing, with equal and unequal rivals."""
    d, k, n, alpha, trials = 30, 5, 500, 0.1, 20_000
    design, rho = UniformAblation(d, k), 1
    shift = float(ablation_shift(d, k, rho))
    rng = np.random.default_rng(top)
    # K rivals with p_c - shift - p_j that add up to the shift; the rest shared by small classes.
    for parts in (np.full(top, 1 / top), rng.dirichlet(np.ones(top))):
        gaps = shift * parts
        rest = 0.04
        own = (1 - rest + top * shift + gaps.sum()) / (top + 1)
        rivals = own - shift - gaps
        assert rivals.min() > 0.01
        shares = np.concatenate([[own], rivals, [rest / 2]])
        tally = ballots_of(rng, "margin", shares, n, trials)
        result = sc.certify_tally(tally, np.zeros(trials, np.int64), design, alpha, "margin", top)
        assert is_rare(int((result.radius >= rho).sum()), trials, alpha)
        assert (result.radius >= 0).mean() > 0.5


@pytest.mark.parametrize("rule", TOP_RULES)
def test_looks_may_stop_anywhere(rule: str) -> None:
    """The best certificate over all looks errs rarely, at the hardest shares."""
    d, k, n, alpha, trials, top = 30, 5, 1_000, 0.1, 1_500, 2
    design, rho = UniformAblation(d, k), 1
    looks = growing_looks(n)
    rng = np.random.default_rng(len(rule))
    ends = np.diff(looks, prepend=0)
    if rule == "margin":
        shift = float(ablation_shift(d, k, rho))
        own = (0.96 + 2 * shift + shift) / 3
        shares = np.array([own, *[own - 1.5 * shift] * 2, 0.02])
        parts = [
            rng.multinomial(size, np.append(shares, 1 - shares.sum()), trials) for size in ends
        ]
        first, pairs = np.stack(parts, axis=1).cumsum(axis=1), None
    else:
        hardest = float(design.share_thresholds()[rho])
        chances = np.array([hardest, hardest, 0.999, 0.999])
        parts = [rng.binomial(size, chances, (trials, 4)) for size in ends]
        wins, totals = np.stack(parts, axis=1).cumsum(axis=1), np.array(looks)[None, :, None]
        pairs = np.zeros((trials, len(looks), 5, 5), dtype=np.int64)
        pairs[:, :, 0, 1:], pairs[:, :, 1:, 0] = wins, totals - wins
        first = np.broadcast_to(_spread(1, 5) * totals, (trials, len(looks), 5)).copy()
    tally = sc.Tally.trusted(first, pairs, None, looks)
    last = np.full(trials, len(looks) - 1)
    label = np.zeros(trials, np.int64)
    certified = RULES[rule].certify_by_look(tally, label, design, alpha, top)
    assert is_rare(
        int((certified.radius[label + np.arange(trials), last] >= rho).sum()), trials, alpha
    )
    assert (np.diff(certified.radius, axis=1) >= 0).all()
    assert certified.radius.max() >= 0


def test_one_is_the_rule_itself_and_more_is_never_less() -> None:
    rng = np.random.default_rng(5)
    first = rng.multinomial(1_000, rng.dirichlet((8, 3, 2, 1), 200)).astype(np.int64)
    design = UniformAblation(64, 6)
    label = rng.integers(0, 3, 200)
    radii = [
        sc.certify_tally(sc.Tally(first), label, design, 0.05, "margin", top).radius
        for top in (1, 2, 3)
    ]
    np.testing.assert_array_equal(
        radii[0], sc.certify_tally(sc.Tally(first), label, design, 0.05, "margin").radius
    )
    # The bounds on rivals have alpha / (2 K), so by chance an image may lose one.
    assert (radii[1] >= radii[0] - 1).all()
    assert radii[2].mean() > radii[1].mean() > radii[0].mean()


def test_the_bound_that_stands_for_several_rivals() -> None:
    """By hand: p_c - Delta against two rivals."""
    low, n = np.array([0.5]), np.array(10_000)
    rivals = np.array([[2_000, 1_000]])
    upper = clopper_pearson_upper(rivals, n, 0.05 / 4)
    best = max((0.5 - upper[0, 1]) / 2, (1.0 - upper.sum()) / 3)
    lead = margin_lead(low, rivals, n, 0.05)
    assert lead[0] == pytest.approx(2 * best, abs=1e-12)
    assert lead[0] < 2 * best


def test_rules_without_a_top_and_numbers_out_of_range_get_a_sentence() -> None:
    tally = sc.Tally(np.array([[70, 20, 10]]))
    with pytest.raises(sc.InputError, match="for the top 2, got majority"):
        sc.certify_tally(tally, [0], UniformAblation(20, 2), rule="majority", top=2)
    with pytest.raises(sc.InputError, match="top from 1 to 2"):
        sc.certify_tally(tally, [0], UniformAblation(20, 2), rule="margin", top=3)
