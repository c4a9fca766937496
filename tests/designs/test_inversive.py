"""The circles of finite planes, counted: what any two and any three features share."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import sparsecert as sc
from sparsecert.designs.inversive import InversivePlane, field_tables
from sparsecert.errors import InputError

ORDERS = [2, 3, 4, 5, 7, 8, 11, 16]


@pytest.mark.parametrize("order", ORDERS)
def test_tables_are_those_of_a_field(order: int) -> None:
    add, multiply = field_tables(order)
    elements = np.arange(order)
    for table, neutral in ((add, 0), (multiply, 1)):
        np.testing.assert_array_equal(table, table.T)
        np.testing.assert_array_equal(table[neutral], elements)
        np.testing.assert_array_equal(table[table], table[:, table])  # associative
    np.testing.assert_array_equal(np.sort(add, axis=1), np.tile(elements, (order, 1)))
    np.testing.assert_array_equal(
        np.sort(multiply[1:, 1:], axis=1), np.tile(elements[1:], (order - 1, 1))
    )
    left = multiply[:, add]
    np.testing.assert_array_equal(left, add[multiply[:, :, None], multiply[:, None, :]])


@pytest.mark.parametrize("order", ORDERS)
def test_two_points_share_q_circles_and_three_at_most_one(order: int) -> None:
    sets = InversivePlane(order**2, order).ablation.membership.astype(np.int64)
    assert sets.shape == (order**2 * (order - 1), order**2)
    assert set(sets.sum(axis=1)) == {order + 1}
    shared = sets.T @ sets
    np.testing.assert_array_equal(np.diag(shared), order**2 - 1)
    assert set(shared[~np.eye(order**2, dtype=bool)]) == {order}
    for first in range(min(order**2, 20)):
        of_three = sets[sets[:, first] > 0]
        of_three = of_three.T @ of_three
        of_three[first] = of_three[:, first] = 0
        np.fill_diagonal(of_three, 0)
        assert of_three.max() == 1


def test_pixels_of_a_row_or_column_are_at_most_two_of_a_circle() -> None:
    plane = InversivePlane(28 * 28, 29, (28, 28))
    images = plane.ablation.membership.reshape(-1, 28, 28)
    assert plane.ablation.image_shape == (28, 28)
    assert max(images.sum(axis=1).max(), images.sum(axis=2).max()) == 2
    assert plane.ablation.num_sets == 29**2 * 28
    assert "23548 circles (order 29) of 784" in str(plane)


def test_some_points_of_a_plane_are_features() -> None:
    family = InversivePlane(30, 7).ablation
    shared = family.membership.T.astype(int) @ family.membership
    assert set(shared[~np.eye(30, dtype=bool)]) == {7}
    assert family.membership.sum(axis=1).min() >= 2
    # An image with a side beyond the order is filled in as a vector is.
    assert InversivePlane(40, 7, (4, 10)).ablation.num_features == 40


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: InversivePlane(30, 6), "expected order to be a prime or a power of 2"),
        (lambda: InversivePlane(30, 5), "expected order q with q \\* q >= 30"),
        (lambda: InversivePlane(30, 1), "expected order to be a prime"),
        (lambda: InversivePlane(30, -7), "expected order to be a prime"),
        (lambda: InversivePlane(30, 131), "up to 128"),
        (lambda: InversivePlane(127**2, 127), "expected fewer circles"),
        (lambda: sc.inversive_circles((2, 0), 3), "at least 2 features"),
    ],
)
def test_bad_settings_are_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("order", [2, 3])
def test_no_features_touch_more_circles_than_the_bound(order: int) -> None:
    """All sets of features, enumerated."""
    family = InversivePlane(order**2, order).ablation
    most = family.most_touched
    assert most is not None
    for rho in range(order**2 + 1):
        touched = max(
            int(family.membership[:, chosen].any(axis=1).sum())
            for chosen in itertools.combinations(range(order**2), rho)
        )
        assert touched <= most[rho]
        assert rho > 3 or touched == most[rho]
