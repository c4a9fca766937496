from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sparsecert as sc

TWO_SETS = sc.strided_partition(4, 2)


def ballots(*rankings: str) -> NDArray[np.float64]:
    """Scores of one input: `"102"` ranks class 1 first, then 0, then 2."""
    names = "012"[: len(rankings[0])]
    return np.array([[[-float(ranking.index(c)) for c in names] for ranking in rankings]])


@pytest.mark.parametrize("rule", ["plurality", "run-off", "pairwise"])
def test_ties_go_to_the_smaller_class(rule: str) -> None:
    tied, tied_above_0, equal = (
        sc.certify_ballots(scores, TWO_SETS, rule)
        for scores in (ballots("01", "10"), ballots("120", "210"), np.zeros((1, 2, 3)))
    )
    assert (tied.label.tolist(), tied.radius.tolist()) == ([0], [0])
    assert (tied_above_0.label.tolist(), tied_above_0.radius.tolist()) == ([1], [0])
    assert (equal.label.tolist(), equal.radius.tolist()) == ([0], [1])


def test_without_a_pairwise_winner_nothing_is_certified() -> None:
    three = sc.strided_partition(3, 3)
    cycle = ballots("012", "120", "201")
    result = sc.certify_ballots(cycle, three, "pairwise")
    assert (result.label.tolist(), result.radius.tolist()) == ([0], [-1])
    assert sc.certify_ballots(cycle, three, "plurality").radius.tolist() == [0]


def test_the_rules_differ_as_their_names_say() -> None:
    """Class 2 is first most often, 0 wins the final against it, 1 is everybody's second choice."""
    seven = sc.strided_partition(7, 7)
    scores = ballots(*["210"] * 3, *["012"] * 2, *["102"] * 2)
    results = [
        sc.certify_ballots(scores, seven, rule) for rule in ("plurality", "run-off", "pairwise")
    ]
    assert [int(result.label[0]) for result in results] == [2, 0, 1]
    assert [float(result.lower_bound[0]) for result in results] == [3 / 7, 4 / 7, 4 / 7]


def test_the_result_says_that_it_is_certain() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 2, 3))
    result = sc.certify_ballots(torch.from_numpy(scores), TWO_SETS)
    assert result.alpha == 0
    assert result.tally.num_samples.tolist() == [2] * 6
    np.testing.assert_array_equal(result.label, result.tally.top)


def test_no_inputs_and_whole_numbers() -> None:
    assert len(sc.certify_ballots(np.zeros((0, 2, 3)), TWO_SETS).radius) == 0
    whole = np.array([[[3, 1], [2, 0]]])
    assert sc.certify_ballots(whole, TWO_SETS).radius.tolist() == [1]


def test_infinite_scores_rank_as_numbers() -> None:
    scores = np.array([[[-np.inf, np.inf], [-np.inf, 0.0]]])
    assert sc.certify_ballots(scores, TWO_SETS, "pairwise").label.tolist() == [1]


@pytest.mark.parametrize(
    ("scores", "options", "sentence"),
    [
        (np.full((1, 2, 3), np.nan), {}, "NaN"),
        (np.zeros((1, 3, 3)), {}, r"\(batch, 2, classes\)"),
        (np.zeros((1, 2, 1)), {}, "2 classes or more"),
        (np.zeros((2, 3)), {}, "scores of shape"),
        (np.zeros((1, 2, 3)), {"rule": "majority"}, "plurality, run-off, pairwise"),
    ],
)
def test_bad_input_gets_a_sentence(scores: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        sc.certify_ballots(scores, TWO_SETS, **options)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["plurality", "run-off", "pairwise"])
def test_ten_thousand_images_take_seconds(rule: str) -> None:
    rng = np.random.default_rng(0)
    ablation = sc.stratified_partitions((28, 28), 56, copies=8)
    scores = rng.standard_normal((10_000, ablation.num_sets, 10), dtype=np.float32)
    scores[:, :, 0] += rng.uniform(0.5, 2, (10_000, 1)).astype(np.float32)
    started = time.process_time()
    sc.certify_ballots(scores, ablation, rule)
    assert time.process_time() - started < 20
