"""The guarantee against people who may ask again and again."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.streams import Stage
from tests.helpers.classifiers import images, perceptron

D, K, N, BRIGHT, QUERIES = 64, 8, 300, 35, 400


class MostlyBright(nn.Module):
    """Votes 1 where more than half of the retained features are 1, not 0."""

    def forward(self, encoded: Tensor) -> Tensor:
        bright = encoded[:, :D].sum(dim=1)
        return torch.stack((torch.full_like(bright, K / 2), bright), dim=1)


MOSTLY_BRIGHT = sc.SmoothedClassifier(MostlyBright(), sc.UniformAblation(D, K), 2)


def fitted(score: Callable[[Tensor], int], generator: np.random.Generator) -> Tensor:
    """Of the inputs with 35 bright features one that scores high, by swapping features."""
    bright = np.arange(D) < BRIGHT
    best, highest = generator.permutation(bright), 0
    for _ in range(QUERIES):
        tried = best.copy()
        for side in (True, False):
            tried[generator.choice(np.flatnonzero(best == side))] = not side
        if (found := score(as_input(tried))) >= highest:
            best, highest = tried, found
    return as_input(best)


def as_input(bright: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(bright.astype(np.float32))[None]


def is_misled_in_predicting(seed: int | None, generator: np.random.Generator) -> bool:
    """Whether `predict` names class 1 to who has fitted an input to its counts."""

    def ask(x: Tensor) -> sc.Prediction:
        return MOSTLY_BRIGHT.predict(x, N, seed=seed)

    return int(ask(fitted(lambda x: int(ask(x).counts[0, 1]), generator)).label[0]) == 1


def is_misled_in_certifying(seed: int | None, generator: np.random.Generator) -> bool:
    """Whether `certify` gives class 1 a radius; the label comes from a pool of its own."""

    def ask(x: Tensor) -> sc.Certification:
        return MOSTLY_BRIGHT.certify(x, 50, N, seed=seed)

    def score(x: Tensor) -> int:
        certificate = ask(x)
        return int(certificate.tally.first_choice[0, 1] * certificate.label[0])

    found = ask(fitted(score, generator))
    return (int(found.label[0]), int(found.radius[0]) >= 0) == (1, True)


@pytest.mark.parametrize("trials", [1, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("is_misled", [is_misled_in_predicting, is_misled_in_certifying])
def test_who_sees_counts_fits_an_input_to_a_pool_that_is_used_again(
    is_misled: Callable[[int | None, np.random.Generator], bool],
    trials: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Class 1 has less than half of all ablations, whichever 35 features are bright."""
    assert stats.hypergeom.sf(K // 2, D, BRIGHT, K) < 0.47
    for trial in range(trials):  # the seed may be a secret: nothing of it is used
        assert is_misled(1_000 + trial, np.random.default_rng(trial))
    # In place of the operating system's entropy, so that the test is repeatable.
    monkeypatch.setattr("secrets.randbits", random.Random(0).getrandbits)
    for trial in range(trials):
        assert not is_misled(None, np.random.default_rng(trial))


def test_every_call_draws_its_own_ablations_and_says_how_to_draw_them_again() -> None:
    smoothed = sc.SmoothedClassifier(perceptron(), sc.UniformAblation(16, 5), 3)
    x = images()
    one, other = smoothed.certify(x, 50, N), smoothed.certify(x, 50, N)
    assert one.seed is not None
    assert one.seed != other.seed
    assert (one.tally.first_choice != other.tally.first_choice).any()
    again = smoothed.certify(x, 50, N, seed=one.seed)
    np.testing.assert_array_equal(again.tally.first_choice, one.tally.first_choice)
    np.testing.assert_array_equal(again.radius, one.radius)
    named, other_named = smoothed.predict(x, N), smoothed.predict(x, N)
    assert named.seed != other_named.seed
    assert (named.counts != other_named.counts).any()
    again_named = smoothed.predict(x, N, seed=named.seed)
    np.testing.assert_array_equal(again_named.counts, named.counts)
    counts = [smoothed.tally(x, N, Stage.ESTIMATION).first_choice for _ in range(2)]
    assert (counts[0] != counts[1]).any()


def test_stored_votes_and_families_have_no_seed() -> None:
    tally = sc.Tally(np.array([[90, 10]]))
    assert sc.certify_tally(tally, [0], sc.UniformAblation(16, 5)).seed is None
    assert sc.predict_tally(tally).seed is None
    family = sc.FixedSmoothedClassifier(perceptron(), sc.strided_partition(16, 4), 3)
    assert family.certify(images()).seed is None
    assert family.predict(images()).seed is None


@pytest.mark.parametrize("rule", ["plurality", "pairwise"])
@pytest.mark.parametrize("classes", [40_000, 70_000])
def test_classes_are_not_counted_in_too_few_bits(rule: str, classes: int) -> None:
    """The last class has 4 of 5 ballots: in 16 bits class 7 would win, with its only one."""
    scores = np.zeros((1, 5, classes), dtype=np.float32)
    scores[0, :4, -1] = 1
    scores[0, 4, 7] = 1
    found = sc.certify_ballots(scores, sc.strided_partition(10, 5), rule)
    assert (found.label.tolist(), found.radius.tolist()) == ([classes - 1], [1])
    assert found.tally.first_choice[0, [7, -1]].tolist() == [1, 4]


def test_counts_have_room_for_every_ballot() -> None:
    """Stored counts of tracked classes have 32 bits."""
    smoothed = sc.SmoothedClassifier(perceptron(), sc.UniformAblation(16, 5), 3)
    with pytest.raises(sc.InputError, match="num_samples to be at most 2147483647"):
        smoothed.predict(images(), 2**31)
