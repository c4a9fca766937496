from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

import sparsecert as sc
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.theory import lee2019
from sparsecert.theory.majority import largest_certified
from sparsecert.theory.shift import ablation_shift, majority_thresholds


def certified_radius(
    p: ArrayLike, kappa: float | Fraction, num_values: int, num_features: int = 1_000
) -> NDArray[np.int64]:
    """The largest number of changed features that a probability p at x certifies."""
    highest = float(np.max(p, initial=0.0))
    thresholds = lee2019.noise_thresholds(kappa, num_values, highest, num_features)
    return largest_certified(thresholds, p)


def likelihoods(
    kappa: Fraction, num_values: int, changed: int
) -> tuple[list[Fraction], list[Fraction]]:
    """Probability of every noisy input around x = (0, 0, ...) and around x' = (1, 1, ...)."""
    other = (1 - kappa) / (num_values - 1)
    outcomes = list(itertools.product(range(num_values), repeat=changed))

    def around(value: int) -> list[Fraction]:
        factors = {True: kappa, False: other}
        return [
            math.prod((factors[z == value] for z in outcome), start=Fraction(1))
            for outcome in outcomes
        ]

    return around(0), around(1)


@pytest.mark.parametrize(
    ("kappa", "num_values", "changed"),
    [(0.8, 2, 1), (0.8, 2, 3), (0.6, 2, 4), (0.5, 3, 2), (0.4, 3, 3), (0.7, 4, 2), (0.3, 5, 2)],
)
@pytest.mark.parametrize("p", [0.55, 0.7, 0.9, 0.99])
def test_worst_case_is_that_of_a_linear_program(
    kappa: float, num_values: int, changed: int, p: float
) -> None:
    """Over all randomised classifiers, by a solver that knows nothing of likelihood ratios."""
    here, there = likelihoods(Fraction(kappa), num_values, changed)
    least = linprog(
        [float(q) for q in there],
        A_eq=[[float(q) for q in here]],
        b_eq=[p],
        bounds=[(0, 1)] * len(here),
    ).fun
    assert least is not None
    if abs(least - 0.5) > 1e-6:
        certified = certified_radius(p, kappa, num_values)
        assert (certified >= changed) == (least > 0.5)


@pytest.mark.parametrize(
    ("kappa", "num_values", "changed"), [(0.8, 2, 2), (0.7, 2, 3), (0.6, 2, 3), (0.5, 3, 2)]
)
def test_no_deterministic_classifier_breaks_the_certificate(
    kappa: float, num_values: int, changed: int
) -> None:
    """Every base classifier on a space small enough to list them all."""
    here, there = likelihoods(Fraction(kappa), num_values, changed)
    subsets = np.array(list(itertools.product([False, True], repeat=len(here))))
    p_here = np.array([sum(itertools.compress(here, chosen)) for chosen in subsets])
    p_there = np.array([sum(itertools.compress(there, chosen)) for chosen in subsets])
    thresholds = lee2019.exact_thresholds(kappa, num_values)
    threshold = next(itertools.islice(thresholds, changed, None))
    certified = p_here > threshold
    assert certified.any()
    assert not certified.all()
    assert (p_there[certified] > Fraction(1, 2)).all()
    # And the threshold is no higher than it need be, up to what a single outcome weighs.
    broken = p_here[p_there <= Fraction(1, 2)]
    assert threshold - max(broken) <= max(here)


def test_thresholds_published_for_binary_images() -> None:
    thresholds = itertools.islice(lee2019.exact_thresholds(0.8, 2), 4)
    assert [round(float(threshold), 3) for threshold in thresholds] == [0.5, 0.875, 0.969, 0.992]


def test_radius_around_each_threshold() -> None:
    exact = list(itertools.islice(lee2019.exact_thresholds(Fraction(4, 5), 2), 9))
    assert exact[1] == Fraction(7, 8)
    assert all(low < high < 1 for low, high in itertools.pairwise(exact))
    for radius, threshold in enumerate(exact):
        below, above = float(threshold) - 1e-12, float(threshold) + 1e-12
        assert certified_radius(below, Fraction(4, 5), 2) == radius - 1
        assert certified_radius(above, Fraction(4, 5), 2) == radius
    assert certified_radius(0.875, Fraction(4, 5), 2) == 0  # not above 7/8, but at it


def test_one_changed_feature_in_closed_form() -> None:
    """Between kappa and 1 - beta one changed feature costs kappa - beta."""
    for kappa, num_values in ((0.1, 256), (0.3, 10), (0.2, 20)):
        beta = (1 - kappa) / (num_values - 1)
        threshold = list(itertools.islice(lee2019.exact_thresholds(kappa, num_values), 2))[1]
        assert float(threshold) == pytest.approx(0.5 + kappa - beta, abs=1e-12)


def test_thresholds_by_the_multinomial_formula() -> None:
    """Regions (u, v) one by one, as the paper writes them, for more features than enumeration."""
    kappa, num_values = Fraction(1, 10), 256
    beta = (1 - kappa) / (num_values - 1)
    for changed, threshold in enumerate(
        itertools.islice(lee2019.exact_thresholds(kappa, num_values), 12)
    ):
        regions = []
        for u in range(changed + 1):
            for v in range(changed - u + 1):
                ways = math.comb(changed, u) * math.comb(changed - u, v)
                rest = ways * (1 - kappa - beta) ** (changed - u - v)
                regions.append((u - v, rest * kappa**u * beta**v, rest * beta**u * kappa**v))
        left, spent = Fraction(1, 2), Fraction(0)
        for _, here, there in sorted(regions, reverse=True):
            if there >= left:
                spent += left * here / there
                break
            left, spent = left - there, spent + here
        assert threshold == spent


def test_arrays_and_the_ends() -> None:
    p = np.array([[0.0, 0.5, 0.51], [0.88, 0.97, 0.9999999]])
    radius = certified_radius(p, 0.8, 2)
    assert radius.shape == p.shape
    assert radius[0].tolist() == [-1, -1, 0]
    assert radius[1, :2].tolist() == [1, 2]
    assert certified_radius(1.0, 0.8, 2, num_features=5) == 5
    assert certified_radius(0.9999999, 0.8, 2, num_features=3) == 3
    assert certified_radius([], 0.8, 2).shape == (0,)


def test_votes_become_radii() -> None:
    counts = np.array([[100_000, 0], [98_000, 2_000], [87_500, 12_500], [40_000, 60_000]])
    noise = DiscreteNoise(784, 0.8, 2)
    certified = sc.certify_tally(sc.Tally(counts), [0, 0, 0, 0], noise, alpha=0.001)
    assert certified.radius.tolist() == [9, 2, 0, -1]
    unanimous = 0.001 ** (1 / 100_000)  # Clopper and Pearson's bound in closed form
    assert certified.lower_bound[0] == pytest.approx(unanimous)
    thresholds = list(itertools.islice(lee2019.exact_thresholds(0.8, 2), 11))
    assert thresholds[9] < unanimous < thresholds[10]


def test_the_papers_example_of_information() -> None:
    """Section 3.3: at equal accuracy, ablation lets over twice as many bits through."""
    d, num_values, kappa = 3 * 224 * 224, 256, 0.1
    needed = list(itertools.islice(lee2019.exact_thresholds(kappa, num_values), 2))[1]
    assert float(needed) == pytest.approx(0.5965, abs=5e-5)
    # The most that may be retained for one feature at that accuracy: Delta(d, k, 1) = k / d.
    k = math.ceil((needed - Fraction(1, 2)) * d) - 1
    assert majority_thresholds(d, k)[1] < needed <= majority_thresholds(d, k + 1)[1]
    assert ablation_shift(d, k, 1) == pytest.approx(k / d)
    ours, theirs = (
        lee2019.ablation_information(k, num_values),
        lee2019.noise_information(d, kappa, num_values),
    )
    assert k == 14521
    assert ours == 8 * k
    assert theirs == pytest.approx(50_590, rel=1e-4)
    assert ours > 2 * theirs


def test_information_is_the_mutual_information() -> None:
    """Equation 21 for one feature, from the joint distribution of input and noisy input."""
    kappa, num_values = 0.37, 5
    joint = np.full((num_values, num_values), (1 - kappa) / (num_values - 1) / num_values)
    np.fill_diagonal(joint, kappa / num_values)
    independent = np.outer(joint.sum(axis=0), joint.sum(axis=1))
    information = (joint * np.log2(joint / independent)).sum()
    assert lee2019.noise_information(3, kappa, num_values) == pytest.approx(3 * information)


@pytest.mark.parametrize(
    ("kappa", "num_values", "sentence"),
    [
        (0.5, 2, "above 1 / num_values = 0.5"),
        (1.0, 2, "below 1"),
        (float("nan"), 2, "keep_probability"),
        (0.8, 1, "at least 2"),
        (0.8, 2.5, "num_values"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_gets_a_sentence(kappa: float, num_values: Any, sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        certified_radius(0.9, kappa, num_values)
