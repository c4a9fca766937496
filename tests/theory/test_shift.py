from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.theory.shift import (
    ablation_shift,
    exact_shifts,
    majority_thresholds,
    margin_thresholds,
)


def exact(d: int, k: int, rho: int) -> Fraction:
    return 1 - Fraction(math.comb(d - rho, k), math.comb(d, k))


@pytest.mark.parametrize("d", range(1, 8))
def test_is_the_share_of_subsets_that_meet_the_changed_features(d: int) -> None:
    for k, rho in itertools.product(range(1, d + 1), range(d + 1)):
        subsets = list(itertools.combinations(range(d), k))
        touched = sum(1 for subset in subsets if min(subset) < rho)
        assert ablation_shift(d, k, rho) == touched / len(subsets)


@given(st.integers(1, 400), st.data())
def test_is_rounded_correctly(d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, d))
    rho = data.draw(st.integers(0, d))
    shift = ablation_shift(d, k, rho)
    assert abs(Fraction(shift) - exact(d, k, rho)) * 2 <= Fraction(math.ulp(shift))


def test_edges() -> None:
    assert ablation_shift(10, 3, 0) == 0
    assert ablation_shift(10, 3, 7) < 1
    assert ablation_shift(10, 3, 8) == 1
    assert ablation_shift(10, 10, 1) == 1
    assert ablation_shift(1, 1, 0) == 0
    assert ablation_shift(50_176, 50_176, 50_176) == 1


def test_takes_arrays_of_any_shape() -> None:
    rho = np.array([[0, 8, 3], [3, 1, 10]])
    shift = ablation_shift(20, 5, rho)
    assert isinstance(shift, np.ndarray)
    assert shift.shape == rho.shape
    assert all(shift[i] == ablation_shift(20, 5, int(rho[i])) for i in np.ndindex(rho.shape))
    assert isinstance(ablation_shift(20, 5, 3), float)
    empty = ablation_shift(20, 5, np.array([], dtype=int))
    assert isinstance(empty, np.ndarray)
    assert empty.shape == (0,)


@pytest.mark.parametrize(("d", "k"), [(7, 3), (64, 12), (784, 45)])
def test_recurrence_agrees_with_binomials(d: int, k: int) -> None:
    assert list(exact_shifts(d, k)) == [exact(d, k, rho) for rho in range(d + 1)]


@pytest.mark.parametrize(
    ("d", "k", "ceiling"),
    [
        *[(784, k, c) for k, c in [(20, 26), (30, 17), (40, 13), (45, 11), (50, 10)]],
        *[(1024, k, c) for k, c in [(25, 27), (50, 13), (75, 9), (100, 6)]],
        *[(50_176, k, c) for k, c in [(500, 69), (1000, 34), (2000, 17)]],
    ],
)
def test_ceilings_of_the_paper(d: int, k: int, ceiling: int) -> None:
    assert len(majority_thresholds(d, k)) - 1 == ceiling
    assert len(margin_thresholds(d, k)) - 1 == ceiling


@pytest.mark.parametrize(("d", "k"), [(7, 2), (64, 12), (784, 45), (1024, 75), (50_176, 1000)])
def test_thresholds_are_rounded_up_by_less_than_one_ulp(d: int, k: int) -> None:
    for rho, threshold in enumerate(majority_thresholds(d, k).tolist()):
        excess = Fraction(threshold) - (Fraction(1, 2) + exact(d, k, rho))
        assert 0 <= excess < Fraction(math.ulp(threshold))
    for rho, threshold in enumerate(margin_thresholds(d, k).tolist()):
        excess = Fraction(threshold) - 2 * exact(d, k, rho)
        assert 0 <= excess < Fraction(math.ulp(threshold) or 1)


@pytest.mark.parametrize(("d", "k"), [(68, 27), (91, 18), (784, 45), (50_176, 1_000)])
@pytest.mark.usefixtures("unchecked")
def test_numpy_integers_do_not_overflow(d: int, k: int) -> None:
    small: tuple[Any, Any] = (np.int64(d), np.int32(k))
    np.testing.assert_array_equal(majority_thresholds(*small), majority_thresholds(d, k))
    assert ablation_shift(*small, 1) == ablation_shift(d, k, 1)
    assert (np.diff(majority_thresholds(*small)) > 0).all()
    ablation = UniformAblation(*small)
    assert (type(ablation.num_features), type(ablation.num_retained)) == (int, int)


@pytest.mark.parametrize(
    ("d", "k", "rho", "sentence"),
    [
        (10, 11, 1, "between 1 and num_features"),
        (10, 0, 1, "between 1 and num_features"),
        (0, 1, 0, "at least 1"),
        (10, 3, 11, "between 0 and d"),
        (10, 3, -1, "between 0 and d"),
    ],
)
def test_rejects_what_makes_no_sense(d: int, k: int, rho: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ablation_shift(d, k, rho)


def test_rejects_fractions_of_a_pixel() -> None:
    with pytest.raises(InputError, match="integer"):
        ablation_shift(10, 3, np.array([1.5]))
