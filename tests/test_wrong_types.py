"""What is no number, no array or of another rule ends in a sentence, or works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

import sparsecert as sc
from sparsecert.evaluation import Evaluation

anything: Any = sc  # in which no type checker gets in the way

COUNTS = np.array([[900, 100], [400, 600]])
ABLATION = sc.UniformAblation(64, 12)
PARTITION = sc.strided_partition(6, 3)
IMAGES = torch.full((2, 1, 8, 8), 0.5)

pytestmark = pytest.mark.usefixtures("unchecked")


def smoothed(**changes: object) -> Any:
    base = nn.Sequential(nn.Flatten(), nn.Linear(128, 3))
    return anything.SmoothedClassifier(base, ABLATION, **{"num_classes": 3, **changes})


def test_counts_are_certified_as_they_are() -> None:
    from_tally = sc.certify_tally(sc.Tally(COUNTS), [0, 1], ABLATION)
    np.testing.assert_array_equal(
        sc.certify_tally(COUNTS, [0, 1], ABLATION).radius, from_tally.radius
    )
    assert from_tally.radius.max() > 0
    assert sc.predict_tally(COUNTS.tolist()).label.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: anything.certify_tally(COUNTS / 2, [0, 1], ABLATION), "counts to be integers"),
        (lambda: anything.certify_tally(COUNTS, [0, 1], ABLATION, alpha="0.05"), "alpha.*'0.05'"),
        (lambda: anything.predict_tally(COUNTS, alpha=None), "alpha"),
        (lambda: anything.predict_tally(COUNTS, rule=["majority"]), "rule to be one of"),
        (lambda: anything.smallest_num_samples(64, 12, 1, "0.05"), "alpha"),
        (lambda: anything.certified_accuracy([1, 2], [True, False], "1"), "rho to be an integer"),
        (lambda: anything.certified_accuracy([1, 2], [True, False], 1.5), "rho to be an integer"),
        (lambda: anything.certified_accuracy(["1"], [True], 1), "radius as integers"),
        (lambda: anything.certified_accuracy([1], ["True"], 1), "correct as booleans"),
        (lambda: anything.median_certified_robustness([1.5], [True]), "radius as integers"),
        (lambda: anything.certify_ballots([[["a", "b"]] * 3], PARTITION), "array of numbers"),
        (lambda: anything.certify_ballots(sparse.csr_array(np.eye(3)), PARTITION), "dense array"),
        (lambda: anything.stratified_partitions(36, 3), "height and width"),
        (lambda: anything.inversive_circles((2, 2, 2), 3), "height and width, or a length"),
        (lambda: anything.inversive_circles(36, 7.5), "order to be an integer"),
        (lambda: smoothed(num_classes="3"), "num_classes to be an integer"),
        (lambda: smoothed(num_classes=3.0), "num_classes to be an integer"),
        (lambda: smoothed(encoding=3), "encoding to be 'two-channel'"),
        (lambda: smoothed(encoding=sc.TwoChannelEncoding), "encoding to be 'two-channel'"),
        (lambda: smoothed().certify(IMAGES.flatten(1).to_sparse(), 9, 9), "dense tensor"),
        (lambda: smoothed().certify(IMAGES, 9, 9, indices=3), "one index for each of 2"),
        (lambda: smoothed().certify(IMAGES, 9, 9, alpha="x"), "alpha"),
        (lambda: anything.MeanEncoding("0.5"), "mean as a tuple"),
        (lambda: anything.TwoChannelEncoding(("0.5",), (1.0,)), "mean as a tuple"),
    ],
)
def test_a_sentence_says_what_was_expected(wrong: Callable[[], object], sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        wrong()


def test_an_alpha_that_guarantees_little_is_told() -> None:
    for answer in (
        lambda: sc.certify_tally(COUNTS, [0, 1], ABLATION, alpha=0.9),
        lambda: sc.predict_tally(COUNTS, alpha=0.9),
    ):
        with pytest.warns(sc.LargeAlphaWarning, match="wrong with that probability"):
            answer()


def evaluated(predicted_by: str, certified_by: str) -> Evaluation:
    pairs = np.array([[[0, 90], [10, 0]]])
    tally = sc.Tally(np.array([[90, 10]]), pairs)
    prediction = sc.predict_tally(tally, rule=predicted_by)
    certification = sc.certify_tally(tally, [0], ABLATION, rule=certified_by)
    return sc.evaluate(prediction, certification, np.array([0]))


def test_predictions_and_certificates_of_different_rules_are_not_mixed() -> None:
    with pytest.raises(sc.InputError, match="by the rule of the certificates, pairwise, got one"):
        evaluated("majority", "pairwise")
    with pytest.raises(sc.InputError, match="margin, got one by pairwise"):
        evaluated("pairwise", "margin")
    for predicted_by, certified_by in (("majority", "margin"), ("pairwise", "pairwise")):
        assert evaluated(predicted_by, certified_by).accuracy.value == 1


def test_targets_are_integers_as_many_as_certificates() -> None:
    tally = sc.Tally(COUNTS)
    answers = sc.predict_tally(tally), sc.certify_tally(tally, [0, 1], ABLATION)
    assert sc.evaluate(*answers, [0, 1]).accuracy.value == 1  # type: ignore[arg-type]
    for targets in (np.array(["0", "1"]), np.array([0])):
        with pytest.raises(sc.InputError, match="an integer as the target of each of 2"):
            sc.evaluate(*answers, targets)
