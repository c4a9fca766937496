"""Certificates and predictions err as rarely as they promise, by every rule and schedule.

The simulations take the hardest cases: shares a hair below a threshold, so that one radius more is
an error, and rivals that pass on different ballots.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.rules import RULES
from sparsecert.theory.shift import majority_thresholds, margin_thresholds
from tests.helpers.classifiers import Alarm
from tests.helpers.spaces import is_rare
from tests.helpers.votes import SAMPLINGS, all_looks_at, looks_of

IMAGES, N, ALPHA = 20_000, 1_000, 0.05
Shares = dict[str, float]  # of the rankings of the classes, such as "102"


def drawn(sampling: str, shares: Shares, seed: Any) -> Any:
    """The tally of many images whose ballots are rankings with these probabilities."""
    rankings = [[int(c) for c in ranking] for ranking in shares]
    rng = np.random.default_rng(seed)
    tally = looks_of(rng, list(shares.values()), rankings, N, IMAGES)
    return all_looks_at(tally) if sampling == "fixed" else tally


def first_and_pairs(shares: Shares) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(classes,)` shares of first choices, and `(classes, classes)` of ballots with c above j."""
    classes = len(next(iter(shares)))
    first, pairs = np.zeros(classes), np.zeros((classes, classes))
    for ranking, share in shares.items():
        first[int(ranking[0])] += share
        for place, c in enumerate(ranking):
            pairs[int(c), [int(j) for j in ranking[place + 1 :]]] += share
    return first, pairs


def hardest(share: float, lead: float, rivals: str) -> Shares:
    """Class 0 has this share, or this lead, by first choices or head to head.

    Against "opposed" rivals every ballot that is not for class 0 ranks one rival only above it, so
    that the head-to-head counts are correlated as negatively as can be: the worst case for a union
    of tests.
    """
    rest, other, fourth = 1 - share, (1 - lead) / 3, (1 - lead) / 4
    return {
        "one": {"012": share, "102": rest},
        "equal": {"012": share, "120": rest / 2, "210": rest / 2},
        "unequal": {"012": share, "120": rest * 2 / 3, "210": rest / 3},
        "opposed": {"012": 1 - 2 * rest, "102": rest, "201": rest},
        "one, by lead": {"012": (1 + lead) / 2, "102": (1 - lead) / 2},
        "two, by lead": {"012": other + lead, "102": other, "201": other},
        "weak, by lead": {"012": 7 / 16 + lead / 2, "120": 7 / 16 - lead / 2, "201": 1 / 8},
        "three, by lead": {"0123": fourth + lead, "1023": fourth, "2013": fourth, "3012": fourth},
    }[rivals]


# Rule, rivals, d, k, radius that is an error; the share of alpha that a fixed number of ballots
# must spend at least, as a bound that never errs would be needlessly loose.
HARDEST: list[tuple[str, str, int, int, int, float]] = [
    *[("majority", "one", 784, 45, radius, 0.6) for radius in (1, 4, 8)],
    ("majority", "one", 8, 1, 1, 0),
    ("majority", "one", 8, 1, 0, 0),
    ("majority", "equal", 8, 1, 3, 0),
    *[("margin", "three, by lead", 784, 45, radius, -1) for radius in (1, 4, 8)],
    ("margin", "two, by lead", 784, 45, 1, -1),
    ("margin", "two, by lead", 8, 1, 1, 0),
    ("margin", "one, by lead", 8, 1, 1, 0),
    ("margin", "weak, by lead", 8, 1, 1, 0),
    *[
        ("pairwise", rivals, 20, 2, radius, -1 if rivals == "opposed" else 0.5)
        for radius in (0, 1, 3)
        for rivals in ("one", "equal", "opposed")
    ],
    ("pairwise", "unequal", 8, 1, 1, 0),
    ("pairwise", "one", 8, 1, 3, 0),
    ("pairwise", "one", 8, 1, 0, 0),
]


# At several looks, which take longer, where d and k are large for one radius only.
CASES = [
    (*case, sampling)
    for case in HARDEST
    for sampling in SAMPLINGS
    if sampling == "fixed" or case[2] == 8 or case[4] == 1
]


@pytest.mark.parametrize(("rule", "rivals", "d", "k", "radius", "least", "sampling"), CASES)
def test_certificates_err_with_probability_alpha_at_most(
    rule: str, rivals: str, d: int, k: int, radius: int, least: float, sampling: str
) -> None:
    share = float(np.nextafter(majority_thresholds(d, k)[radius], 0))
    shares = hardest(share, float(np.nextafter(margin_thresholds(d, k)[radius], -1)), rivals)
    tally = drawn(sampling, shares, (radius, len(rivals), len(rule)))
    label = np.zeros(IMAGES, dtype=np.int64)
    # Stopping for the radius that is an error makes no more errors.
    for target in (None,) if sampling == "fixed" else (None, radius):
        found = sc.certify_tally(tally, label, sc.UniformAblation(d, k), ALPHA, rule, target=target)
        errors = int((found.radius >= radius).sum())
        assert is_rare(errors, IMAGES, ALPHA)
        assert errors > (least * ALPHA * IMAGES if sampling == "fixed" else min(0, least))
        assert (found.num_samples <= N).all()
        if rule != "margin":
            assert is_rare(int((found.lower_bound > share).sum()), IMAGES, ALPHA)


# Rule, shares, and what a fixed number of ballots must spend of alpha at least.
ALL_BUT_TIED: list[tuple[str, Shares, float]] = [
    ("majority", {"012": 0.34, "120": 0.33, "210": 0.33}, -1),
    ("majority", {"012": 0.5, "120": 0.5, "210": 0.0}, 0),
    ("majority", {"012": 0.4999, "102": 0.5001}, 0),
    ("margin", {"012": 0.4, "120": 0.4, "210": 0.2}, -1),
    ("pairwise", {"012": 0.5, "120": 0.5, "210": 0.0}, -1),
    # Class 2, the last by index, is all but tied with the others.
    ("pairwise", {"201": 0.505, "021": 0.495}, -1),
    ("pairwise", {"012": 0.249, "021": 0.249, "201": 0.251, "210": 0.251}, -1),
    # Opposed rivals: whatever is above the winner is there alone, so either may look like one.
    ("pairwise", {"021": 0.4995, "120": 0.4995, "201": 0.001}, -1),
    ("pairwise", {"021": 0.4999, "120": 0.4999, "201": 0.0002}, 0.6),
    ("pairwise", {"102": 0.4999, "201": 0.4999, "012": 0.0002}, 0.6),
    # No pairwise winner: a cycle, and all but ties. The class is the plurality's.
    ("pairwise", {"012": 0.334, "120": 0.333, "201": 0.333}, -1),
    ("pairwise", {"012": 0.333, "120": 0.333, "201": 0.334}, -1),
    ("pairwise", {"012": 0.3, "201": 0.35, "210": 0.05, "120": 0.3}, -1),
    ("pairwise", {"012": 0.25, "021": 0.2, "102": 0.05, "201": 0.5}, -1),
]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("rule", "shares", "least"), ALL_BUT_TIED)
def test_predictions_err_with_probability_alpha_at_most(
    rule: str, shares: Shares, least: float, sampling: str
) -> None:
    first, pairs = first_and_pairs(shares)
    beats_all = ((pairs > 0.5 + 1e-9) | np.eye(len(first), dtype=np.bool_)).all(axis=1)
    truth = beats_all.argmax() if rule == "pairwise" and beats_all.any() else first.argmax()
    tally = drawn(sampling, shares, 1)
    for alpha in (ALPHA, 0.3):
        named = sc.predict_tally(tally, alpha, rule)
        wrong = int(((named.label != truth) & (named.label != sc.ABSTAIN)).sum())
        assert is_rare(wrong, IMAGES, alpha)
        assert (named.num_samples <= N).all()
        assert sampling == "sequential" or wrong > least * alpha * IMAGES


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("rule", RULES)
def test_error_rate_of_certify_at_the_hardest_image(rule: str, sampling: str) -> None:
    """With k = 1, 5 bright pixels of 8 give class 1 exactly 1/2 + Delta(1) of the votes.

    One changed pixel brings a tie, so radius 1 is an error. Each index has streams of its own, so
    2 000 copies of the image are 2 000 independent certifications.
    """
    image = torch.tensor([1.0] * 5 + [0.0] * 3).view(1, 1, 2, 4)
    copies, alpha = 2_000, 0.05
    smoothed = sc.SmoothedClassifier(Alarm(), sc.UniformAblation(8, 1), 2)
    result = smoothed.certify(
        image.expand(copies, -1, -1, -1),
        num_selection=50,
        num_samples=200,
        alpha=alpha,
        rule=rule,
        sampling=sampling,
    )
    errors = int(((result.label == 1) & (result.radius >= 1)).sum())
    assert is_rare(errors, copies, alpha)
    assert errors > 0  # at the hardest image a bound that never errs would be needlessly loose
    if sampling == "sequential":
        return  # shares of ballots up to a stop that depends on them are not quite unbiased
    shares = result.tally.first_choice[:, 1] / 200
    assert abs(shares.mean() - 5 / 8) < 5 * math.sqrt(5 / 8 * 3 / 8 / (200 * copies))


def test_radii_are_useful_one_step_inside_the_threshold() -> None:
    image = torch.tensor([1.0] * 7 + [0.0]).view(1, 1, 2, 4)
    smoothed = sc.SmoothedClassifier(Alarm(), sc.UniformAblation(8, 1), 2)
    result = smoothed.certify(image.expand(200, -1, -1, -1), num_selection=50, num_samples=1_000)
    # The share is 7/8 = 1/2 + Delta(3): radius 2 is true and far from the threshold.
    assert np.mean(result.radius == 2) > 0.9
