from __future__ import annotations

import hashlib
import itertools
import math
import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples
from sparsecert.theory import ablation_shift


def draw(d: int, k: int, num_samples: int, seed: int = 0) -> NDArray[np.int64]:
    """Retained sets as indices, one row each."""
    masks = masks_of(d, k, num_samples, seed)
    return np.nonzero(masks)[1].reshape(num_samples, k)


def masks_of(d: int, k: int, num_samples: int, seed: int = 0) -> NDArray[np.bool_]:
    return UniformAblation(d, k).draw(samples(seed, Stage.ESTIMATION, 0, num_samples))


def codes(retained: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each retained set as one number, whatever the order of its members."""
    numbers: NDArray[np.int64] = np.sum(1 << retained, axis=1)
    return numbers


def codes_of_all_subsets(d: int, k: int) -> list[int]:
    return [sum(1 << i for i in subset) for subset in itertools.combinations(range(d), k)]


@given(d=st.integers(1, 60), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_set_has_exactly_k_distinct_features_in_range(d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, d))
    masks = masks_of(d, k, num_samples=9, seed=data.draw(st.integers(0, 99)))
    assert masks.shape == (9, d)
    assert masks.dtype == np.bool_
    assert (masks.sum(axis=1) == k).all()


@pytest.mark.parametrize("d", [1, 2, 7, 784])
def test_one_feature_or_all_of_them(d: int) -> None:
    assert draw(d, 1, num_samples=5).shape == (5, 1)
    everything = np.sort(draw(d, d, num_samples=5), axis=1)
    assert np.array_equal(everything, np.tile(np.arange(d), (5, 1)))


@pytest.mark.parametrize(("d", "k"), [(5, 1), (5, 2), (5, 4), (6, 3), (7, 5), (8, 4), (16, 2)])
def test_all_subsets_are_equally_likely(d: int, k: int) -> None:
    drawn, counts = np.unique(codes(draw(d, k, num_samples=40_000)), return_counts=True)
    assert sorted(drawn.tolist()) == sorted(codes_of_all_subsets(d, k))
    assert len(drawn) == math.comb(d, k)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_all_positions_are_equally_likely() -> None:
    """Counts of N sets have variance N p (1 - p) and covariances -1 / (d - 1) of it."""
    d, k, n = 784, 45, 40_000
    counts, share = masks_of(d, k, n).sum(axis=0), k / d
    statistic = ((counts - n * share) ** 2).sum() / (n * share * (1 - share)) * (d - 1) / d
    assert 1e-3 < stats.chi2.sf(statistic, d - 1) < 1 - 1e-3


def test_one_set_says_nothing_about_the_next() -> None:
    index = {code: i for i, code in enumerate(codes_of_all_subsets(4, 2))}
    sets = [index[code] for code in codes(draw(4, 2, num_samples=40_000)).tolist()]
    pairs = np.zeros((6, 6), dtype=np.int64)
    np.add.at(pairs, (sets[:-1], sets[1:]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 1e-3


@pytest.mark.parametrize("rho", [1, 8, 31])
def test_sets_meet_rho_features_as_often_as_theorem_1_says(rho: int) -> None:
    # The features are the last ones, the first ones and a mixture: all are alike.
    mask = masks_of(784, 45, num_samples=20_000)
    shift = ablation_shift(784, 45, rho)
    for features in (np.arange(784 - rho, 784), np.arange(rho), np.arange(rho) * 25):
        hits = int(mask[:, features].any(axis=1).sum())
        assert stats.binomtest(hits, len(mask), shift).pvalue > 1e-3


def test_a_name_gives_the_sets_it_has_always_given() -> None:
    """Votes that are stored were cast on these; other sets need another `SAMPLER_VERSION`."""
    masks = UniformAblation(784, 45).draw(samples(0, Stage.ESTIMATION, 7, 300))
    assert hashlib.sha256(masks.tobytes()).hexdigest()[:16] == "58a83e8edfd529c5"


@pytest.mark.parametrize(
    ("d", "k", "words"),
    [
        (5, 6, "num_retained (k) between 1 and num_features (d = 5), got 6"),
        (5, 0, "num_retained (k) between 1 and num_features (d = 5), got 0"),
        (5, -1, "num_retained (k) between 1 and num_features (d = 5), got -1"),
        (0, 0, "num_features (d) to be at least 1, got 0"),
    ],
)
def test_impossible_sizes_are_refused(d: int, k: int, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        UniformAblation(d, k)


@pytest.mark.parametrize(
    ("d", "k", "words"),
    [
        (5, 2.5, "num_retained to be an integer, got 2.5"),
        (5.0, 2, "num_features to be an integer, got 5.0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_sizes_that_are_no_integers_are_refused(d: Any, k: Any, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        UniformAblation(d, k)


@pytest.mark.parametrize("num_samples", [0, -3])
def test_at_least_one_sample_is_asked_for(num_samples: int) -> None:
    with pytest.raises(InputError, match=f"num_samples to be at least 1, got {num_samples}"):
        draw(5, 2, num_samples)


def test_imagenet_sized_inputs() -> None:
    mask = masks_of(50_176, 1_000, num_samples=20)
    assert (mask.sum(axis=1) == 1_000).all()
    # Every region of the image is used: each block of two rows expects 179 of 20 000 features.
    assert mask.reshape(20, 112, 448).sum(axis=(0, 2)).min() > 100


def test_time_grows_with_k_and_not_with_its_square() -> None:
    def fastest(k: int) -> float:
        times = []
        for _ in range(7):
            start = time.process_time()  # what other processes do meanwhile does not count
            masks_of(50_176, k, num_samples=100)
            times.append(time.process_time() - start)
        return min(times)

    # Eight times as many features: linear is 8, quadratic is 64.
    assert fastest(2_000) < 8 * 3 * fastest(250)
