from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sparsecert as sc


def sizes(ablation: sc.FixedAblation) -> set[int]:
    return set(ablation.membership.sum(axis=1).tolist())


def test_strided_partition_takes_every_nth_feature() -> None:
    ablation = sc.strided_partition(7, 3)
    retained = [np.flatnonzero(row).tolist() for row in ablation.membership]
    assert retained == [[0, 3, 6], [1, 4], [2, 5]]


@pytest.mark.parametrize(("side", "num_sets"), [((28, 28), 49), ((28, 28), 60), ((5, 9), 7)])
@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_each_copy_is_a_partition_of_equal_sets(
    side: tuple[int, int], num_sets: int, kind: str
) -> None:
    d = side[0] * side[1]
    if kind == "random":
        ablation = sc.random_partitions(d, num_sets, copies=3, seed=1)
    else:
        ablation = sc.stratified_partitions(side, num_sets, copies=3, seed=1)
    assert (ablation.num_sets, ablation.num_features) == (3 * num_sets, d)
    copies = ablation.membership.reshape(3, num_sets, d)
    assert (copies.sum(axis=1) == 1).all()
    assert sizes(ablation) <= {d // num_sets, -(-d // num_sets)}
    assert (copies[0] != copies[1]).any()


def test_stratified_sets_take_one_pixel_from_every_block() -> None:
    ablation = sc.stratified_partitions((28, 28), 49, copies=2)
    blocks = ablation.membership.reshape(98, 4, 7, 4, 7).sum(axis=(2, 4))
    assert (blocks == 1).all()


def test_families_depend_on_the_seed_and_nothing_else() -> None:
    one, same, other = (sc.random_partitions(30, 5, seed=seed) for seed in (4, 4, 5))
    assert one == same != other
    assert len({one, same, other}) == 2
    assert one.fingerprint == same.fingerprint != other.fingerprint
    # A fingerprint may be stored, so it must not change from one version to the next.
    assert sc.strided_partition(7, 3).fingerprint == "bdaaf451eefd5494"
    assert sc.FixedAblation(one.membership.copy()) == one


def test_the_family_cannot_be_changed() -> None:
    sets = np.ones((2, 3), dtype=np.bool_)
    ablation = sc.FixedAblation(sets)
    sets[0] = False
    assert ablation.membership.all()
    with pytest.raises(ValueError, match="read-only"):
        ablation.membership[0, 0] = False


def test_features_in_the_same_sets_count_once() -> None:
    sets = np.array([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=np.bool_)
    assert sc.FixedAblation(sets).columns.shape == (2, 2)
    assert str(sc.FixedAblation(sets)) == "2 sets of 1 to 2 of 4"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("membership", "sentence"),
    [
        (np.ones((2, 3), dtype=np.int64), "booleans"),
        (np.ones(3, dtype=np.bool_), "shape"),
        (np.zeros((2, 3), dtype=np.bool_), "at least one feature in each"),
        (np.ones((0, 3), dtype=np.bool_), "at least one set"),
    ],
)
def test_bad_families_get_a_sentence(membership: Any, sentence: str) -> None:
    with pytest.raises(sc.InputError, match=sentence):
        sc.FixedAblation(membership)


def test_bad_numbers_get_a_sentence() -> None:
    with pytest.raises(sc.InputError, match="num_sets between 1 and num_features = 4"):
        sc.strided_partition(4, 5)
    with pytest.raises(sc.InputError, match="num_sets"):
        sc.stratified_partitions((2, 2), 0)
    with pytest.raises(sc.InputError, match="copies"):
        sc.random_partitions(4, 2, copies=0)
