from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import sparsecert as sc
from sparsecert.theory.schedule import growing_looks
from tests.helpers.commands import printed_by
from tests.helpers.votes import SAMPLINGS, all_looks_at

ABLATION = sc.UniformAblation(784, 45)


def tally(*rows: list[int]) -> sc.Tally:
    return sc.Tally(np.array(rows))


def test_certifies_each_row_with_its_own_label() -> None:
    counts = tally([9_700, 300, 0], [300, 9_700, 0], [5_100, 4_800, 100])
    result = sc.certify_tally(counts, [0, 1, 0], ABLATION)
    assert result.radius.tolist() == [10, 10, 0]
    assert result.lower_bound[0] == result.lower_bound[1] < 0.97
    assert sc.certify_tally(counts, [1, 0, 1], ABLATION).radius.tolist() == [-1, -1, -1]


def test_smaller_alpha_never_certifies_more() -> None:
    counts = tally(*([c, 10_000 - c, 0] for c in range(5_000, 10_001, 50)))
    label = np.zeros(len(counts), dtype=np.int64)
    strict = sc.certify_tally(counts, label, ABLATION, alpha=0.001).radius
    assert (strict <= sc.certify_tally(counts, label, ABLATION, alpha=0.05).radius).all()


def test_predicts_by_the_two_sided_binomial_test() -> None:
    rows = [[520, 480, 0], [540, 460, 0], [1_000, 0, 0], [400, 300, 300], [500, 500, 0]]
    prediction = sc.predict_tally(tally(*rows), alpha=0.05)
    for row, label in zip(rows, prediction.label.tolist(), strict=True):
        second, first = sorted(row)[-2:]
        significant = stats.binomtest(first, first + second).pvalue <= 0.05
        assert label == (int(np.argmax(row)) if significant else sc.ABSTAIN)
    assert sc.ABSTAIN in prediction.label.tolist()


def test_warns_with_the_smallest_number_that_can_certify() -> None:
    with pytest.warns(sc.TooFewSamplesWarning, match="takes 5 or more"):
        result = sc.certify_tally(tally([4, 0]), [0], ABLATION, alpha=0.05)
    assert result.radius.tolist() == [-1]
    assert sc.certify_tally(tally([5, 0]), [0], ABLATION, alpha=0.05).radius.tolist() == [0]


@pytest.mark.parametrize(
    ("label", "alpha", "rule", "sentence"),
    [
        ([0], 0.0, "majority", "alpha"),
        ([0], 1.5, "majority", "alpha"),
        ([0], 0.05, "plurality", "majority, margin, pairwise"),
        ([0], 0.05, "pairwise", "count again"),
        ([3], 0.05, "majority", "labels between 0 and 2"),
        ([-1], 0.05, "majority", "labels between 0 and 2"),
        ([0, 1], 0.05, "majority", "one label for each"),
        ([0.0], 0.05, "majority", "labels to be integers"),
    ],
)
def test_bad_input_gets_a_sentence(
    label: list[int], alpha: float, rule: str, sentence: str
) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        sc.certify_tally(tally([90, 5, 5]), label, ABLATION, alpha, rule)


def test_pairwise_certifies_each_label_against_its_strongest_rival() -> None:
    pairs = np.array([[0, 9_700, 9_000], [300, 0, 6_000], [1_000, 4_000, 0]])
    tally = sc.Tally(np.array([[8_900, 200, 900]] * 2), np.stack([pairs, pairs]))
    result = sc.certify_tally(tally, [0, 1], ABLATION, rule="pairwise")
    strongest = sc.certify_tally(sc.Tally(np.array([[9_000, 1_000]])), [0], ABLATION)
    assert result.radius.tolist() == [int(strongest.radius[0]), -1]
    assert result.lower_bound[0] == strongest.lower_bound[0]
    assert result.alpha == 0.05


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_with_many_classes_first_choices_stand_in_for_rankings(sampling: str) -> None:
    looks = growing_looks(10_000)
    ballots = np.array(looks)
    counts = np.zeros((2, len(looks), 1_000), dtype=np.int64)
    counts[0, :, 7] = counts[1, :, 7] = ballots
    for row, rivals in ((0, {3: 0.1}), (1, {3: 0.3, 5: 0.21})):
        for rival, share in rivals.items():
            counts[row, :, rival] = share * ballots
            counts[row, :, 7] -= counts[row, :, rival]
    tally = sc.Tally(counts, looks=looks)
    many = all_looks_at(tally) if sampling == "fixed" else tally
    pairwise, majority = (
        sc.certify_tally(many, [7, 7], ABLATION, rule=rule) for rule in ("pairwise", "majority")
    )
    assert pairwise.radius.tolist() == majority.radius.tolist() != [-1, -1]
    assert sc.predict_tally(many, 0.05, "pairwise").label.tolist() == [7, sc.ABSTAIN]


def test_statistics_need_no_torch() -> None:
    script = (
        "import sys, numpy, sparsecert as sc;"
        "sc.certify_tally(sc.Tally(numpy.array([[990, 10]])), [0], sc.UniformAblation(64, 12));"
        "votes = sc.Tally(numpy.array([[[50, 0], [99, 1]]]), looks=(50, 100));"
        "sc.certify_tally(votes, [0], sc.UniformAblation(64, 12));"
        "sc.median_certified_robustness([1, 2], [True, True]);"
        "sc.certify_ballots(numpy.zeros((1, 4, 2)), sc.strided_partition(9, 4));"
        "sys.exit('torch' in sys.modules)"
    )
    printed_by("-c", script)
