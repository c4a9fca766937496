from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sparsecert import ABSTAIN, Certification, Prediction
from sparsecert.errors import InputError
from sparsecert.evaluation import (
    Evaluation,
    authors_convention,
    certified_accuracy,
    certified_robustness,
    evaluate,
    median_certified_robustness,
    median_interval,
)
from sparsecert.votes.tally import Tally

# Per image: certified radius (-1 is "not certified") and whether the certified label is right.
Images = list[tuple[int, bool]]
images_strategy = st.lists(st.tuples(st.integers(-1, 6), st.booleans()), min_size=1, max_size=40)


def columns(images: Images) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    radius, correct = zip(*images, strict=True)
    return np.array(radius), np.array(correct)


def share(images: Images, rho: int) -> float:
    return sum(correct and radius >= rho for radius, correct in images) / len(images)


def median_by_definition(images: Images) -> int | None:
    reached = [rho for rho in range(10) if share(images, rho) >= 0.5]
    return max(reached, default=None)


def evaluated(images: Images, predicted: list[int] | None = None) -> Evaluation:
    """Evaluate images of class 1, where a wrong certified label is 0."""
    radius, correct = columns(images)
    label = correct.astype(np.int64)
    tally = Tally(np.ones((len(images), 2), dtype=np.int64))
    certification = Certification(label, radius, np.full(len(images), 0.5), tally, 0.05)
    prediction = Prediction(label if predicted is None else np.array(predicted), tally.first_choice)
    return evaluate(prediction, certification, np.ones(len(images), dtype=np.int64))


def test_the_paper_s_example() -> None:
    # {N/A, N/A, 1, 2, 3}; a wrong label's radius, however large, is N/A.
    assert median_certified_robustness([9, 0, 1, 2, 3], [False, False, True, True, True]) == 1


@pytest.mark.parametrize(
    ("radius", "median"),
    [([3, 5], 5), ([1, 2, 3, 4], 3), ([-1, 4], 4), ([-1, -1, 4], None), ([-1], None), ([0], 0)],
)
def test_median_of_few_images(radius: list[int], median: int | None) -> None:
    assert median_certified_robustness(radius, [True] * len(radius)) == median


@given(images_strategy)
def test_median_is_the_largest_rho_that_half_of_the_images_reach(images: Images) -> None:
    assert median_certified_robustness(*columns(images)) == median_by_definition(images)


@given(images_strategy)
def test_certified_accuracy_is_a_share_for_one_rho_or_many(images: Images) -> None:
    radius, correct = columns(images)
    by_definition = [share(images, rho) for rho in range(9)]
    accuracy = certified_accuracy(radius, correct, np.arange(9))
    assert isinstance(accuracy, np.ndarray)
    np.testing.assert_allclose(accuracy, np.array(by_definition))
    one = certified_accuracy(radius, correct, 2)
    assert isinstance(one, float)
    assert one == pytest.approx(by_definition[2])
    table = certified_accuracy(radius, correct, np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(table, accuracy.reshape(3, 3))


def test_three_outcomes_per_image() -> None:
    # Certified at 4; correct but not certified; wrong label.
    radius, correct = np.array([4, -1, 4]), np.array([True, True, False])
    assert certified_robustness(radius, correct).tolist() == [4, -1, -1]
    assert certified_accuracy(radius, correct, 0) == pytest.approx(1 / 3)
    filed = authors_convention(radius)
    assert certified_robustness(filed, correct).tolist() == [4, 0, -1]
    assert certified_accuracy(filed, correct, 0) == pytest.approx(2 / 3)


@given(images_strategy)
def test_both_conventions_in_an_evaluation(images: Images) -> None:
    result = evaluated(images)
    assert result.median == median_by_definition(images)
    as_filed = [(max(radius, 0), correct) for radius, correct in images]
    assert result.median_authors_convention == median_by_definition(as_filed)


@given(images_strategy)
def test_intervals_contain_their_value(images: Images) -> None:
    predicted = [(ABSTAIN, 0, 1)[(radius + correct) % 3] for radius, correct in images]
    result = evaluated(images, predicted)
    n = result.num_images
    assert n == len(images)
    assert result.accuracy.value == pytest.approx(predicted.count(1) / n)
    assert result.abstained.value == pytest.approx(predicted.count(ABSTAIN) / n)
    for estimate in (result.accuracy, result.abstained, *result.certified_accuracy):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high
    assert [estimate.value for estimate in result.certified_accuracy] == pytest.approx(
        [share(images, rho) for rho in range(len(result.certified_accuracy))]
    )
    assert len(result.certified_accuracy) == max(0, *(radius for radius, _ in images)) + 1
    assert (result.median_interval is None) == (n < 6)
    if result.median_interval is not None:
        low, median, high = (
            -1 if end is None else end
            for end in (result.median_interval[0], result.median, result.median_interval[1])
        )
        assert low <= median <= high


def test_fewer_than_six_images_give_no_interval_and_six_give_their_range() -> None:
    # Six draws lie all above or all below the median with probability 2 / 64, five with 2 / 32.
    assert median_interval([1, 2, 3, 4, 5], [True] * 5) is None
    assert median_interval([5, 1, 2, 3, 4, 6], [True] * 6) == (1, 6)
    assert median_interval([5, 1, 2, 3, 4, 6], [False, *[True] * 5]) == (None, 6)


# Populations: probabilities of robustness -1 (N/A or not certified), 0, 1, ...
POPULATIONS = {
    "as on MNIST": np.array([3, 1, 1, 1, 1, 2, 2, 3, 4, 5, 4, 3, 1, 1]),
    "hardly half correct": np.array([9, 3, 3, 3, 2]),
    "exactly half at 2": np.array([1, 3, 0, 4]),
    "many values": np.ones(1000),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_median_interval_covers_the_population_s_median(name: str) -> None:
    shares = POPULATIONS[name] / POPULATIONS[name].sum()
    values = np.arange(len(shares)) - 1
    # The largest rho that at least half of the population reaches.
    median = max(int(rho) for rho in values if shares[values >= rho].sum() >= 0.5 - 1e-12)
    samples = np.random.default_rng(0).choice(values, size=(2_000, 100), p=shares)
    too_high = too_low = 0
    for sample in samples:
        interval = median_interval(sample, np.ones(100, dtype=np.bool_))
        assert interval is not None
        low, high = (-1 if end is None else end for end in interval)
        too_high += low > median
        too_low += high < median
    slack = 3 * np.sqrt(0.025 * 0.975 * 2_000)  # three standard deviations of the simulation
    assert max(too_high, too_low) <= 0.025 * 2_000 + slack
    if name == "many values":  # without ties the interval is not wider than it has to be
        assert too_high + too_low >= 0.02 * 2_000


@pytest.mark.parametrize(
    ("radius", "correct"), [([1, 2], [True]), ([], []), ([[1], [2]], [[True], [False]])]
)
def test_radii_and_labels_must_be_vectors_of_one_length(
    radius: list[int], correct: list[bool]
) -> None:
    for quantity in (certified_robustness, median_certified_robustness, median_interval):
        with pytest.raises(InputError, match="vectors of one length, at least 1"):
            quantity(radius, correct)


def test_a_negative_rho_is_refused() -> None:
    with pytest.raises(InputError, match="rho of at least 0, got -1"):
        certified_accuracy([1, 2], [True, True], np.array([0, -1]))


def test_nothing_to_evaluate_is_refused() -> None:
    none = np.zeros(0, dtype=np.int64)
    tally = Tally(np.zeros((0, 2), dtype=np.int64))
    with pytest.raises(InputError, match="at least one image"):
        evaluate(
            Prediction(none, tally.first_choice),
            Certification(none, none, np.zeros(0), tally, 0.05),
            none,
        )
