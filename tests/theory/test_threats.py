"""Patches, windows, ballots that abstain, the top K of families: against listed attackers."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.designs.bands import column_bands, contiguous_windows, row_bands, square_blocks
from sparsecert.designs.threats import threat_of
from sparsecert.rules import FAMILY_RULES
from tests.helpers.spaces import binary_images

RULES = list(FAMILY_RULES)
TOP_RULES = [name for name, rule in FAMILY_RULES.items() if rule.top is not None]
TAU = 1.0  # of scores that are small integers


class Profiles:
    """All profiles of a few ballots, and what every rule makes of each.

    A ballot is a list of scores from 0 to 2, or 3 with abstention: every way there is to rank the
    classes, with ties and with what is too close to call.
    """

    def __init__(self, ballots: int, classes: int, tau: float) -> None:
        highest = 4 if tau else classes
        scores = np.array(list(itertools.product(range(highest), repeat=classes)), dtype=float)
        index = np.arange(classes)
        diff = scores[:, :, None] - scores[:, None, :]
        above = (diff > tau) | ((diff == 0) & (index[:, None] < index) & (tau == 0))
        _, kept = np.unique(above.reshape(len(above), -1), axis=0, return_index=True)
        self.scores, self.above = scores[kept], above[kept].astype(np.int64)
        self.classes, self.choices = (
            classes,
            np.array(list(itertools.product(range(len(kept)), repeat=ballots))),
        )
        duels = (self.above - self.above.swapaxes(1, 2))[self.choices].sum(axis=1)
        first = (self.above.sum(axis=2) == classes - 1).astype(np.int64)
        counts = first[self.choices].sum(axis=1)
        smaller = index[:, None] > index  # [c, j]: j has the smaller index
        self.ahead = {
            "pairwise": duels >= smaller,
            "plurality": counts[:, :, None] - counts[:, None, :] >= smaller,
        }
        for ahead in self.ahead.values():
            ahead[:, index, index] = True

    def winner(self, rule: str) -> NDArray[np.int64]:
        """`(profiles,)`; -1 where there is none."""
        if rule != "run-off":
            best = self.ahead[rule].all(axis=2)
            return np.where(best.any(axis=1), best.argmax(axis=1), -1)
        order = np.argsort(-self.ahead["plurality"].sum(axis=2), axis=1)
        one, other = order[:, 0], order[:, 1]
        wins = self.ahead["pairwise"][np.arange(len(order)), one, other]
        return np.where(wins, one, other)

    def among_top(self, rule: str, top: int) -> NDArray[np.bool_]:
        """`(profiles, classes)`: fewer than K others are ahead."""
        others = self.ahead[rule].sum(axis=1) - 1  # ahead[:, j, c], less the class itself
        return np.asarray(others < top)


@functools.cache
def profiles_of(ballots: int, classes: int, tau: float) -> Profiles:
    return Profiles(ballots, classes, tau)


def true_radius(
    profiles: Profiles,
    index: int,
    good: NDArray[np.bool_],
    attackers: list[list[NDArray[np.bool_]]],
) -> int:
    """How many attackers cannot leave the good profiles, each by any change of touched ballots."""
    if not good[index]:
        return -1
    same = profiles.choices == profiles.choices[index]
    for number, touched_sets in enumerate(attackers):
        for touched in touched_sets:
            if not good[same[:, ~touched].all(axis=1)].all():
                return number
    return len(attackers)


def windows_of(shape: tuple[int, int], size: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Masks of every window of that size inside an image, flat."""
    found = []
    for top, left in itertools.product(
        range(shape[0] - size[0] + 1), range(shape[1] - size[1] + 1)
    ):
        mask = np.zeros(shape, dtype=np.bool_)
        mask[top : top + size[0], left : left + size[1]] = True
        found.append(mask.ravel())
    return found


def attackers_of(family: sc.FixedAblation, threat: str) -> list[list[NDArray[np.bool_]]]:
    """Of every attacker the touched sets of everything that he may change."""
    sets, d = family.membership, family.num_features
    chosen: list[list[NDArray[np.bool_]]]
    if threat == "sparse":
        chosen = [
            [
                np.asarray(np.isin(np.arange(d), list(some)))
                for some in itertools.combinations(range(d), rho)
            ]
            for rho in range(1, d + 1)
        ]
    else:
        shape = family.image_shape or (1, d)
        chosen = [windows_of(shape, size) for size in threat_of(threat).sizes]
    return [[np.asarray(sets[:, mask].any(axis=1)) for mask in masks] for masks in chosen]


CASES = [
    (column_bands((3, 4), 1), "patch:1x1,2x2,3x3"),
    (column_bands((2, 4), 2), "patch:2x1,2x2"),
    (contiguous_windows(4, 2), "window:1,2,3"),
    (contiguous_windows(4, 1), "sparse"),
    (
        sc.FixedAblation(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]], dtype=bool)),
        "sparse",
    ),
]


@pytest.mark.parametrize(("rule", "top"), [*((r, 1) for r in RULES), *((r, 2) for r in TOP_RULES)])
@pytest.mark.parametrize("tau", [0.0, TAU])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_change_of_the_touched_ballots(rule: str, top: int, tau: float, case: int) -> None:
    """A radius is never more than the truth; against windows it is the truth for one rival."""
    family, threat = CASES[case]
    profiles = profiles_of(4, 3, tau)
    rng = np.random.default_rng((case, top))
    unanimous = np.flatnonzero((profiles.choices == profiles.choices[:, :1]).all(axis=1))
    some = rng.choice(len(profiles.choices), size=300, replace=False)
    agreement = np.array([len(set(row)) for row in profiles.choices[some].tolist()])
    chosen = np.concatenate([unanimous, some[np.argsort(agreement)[:15]], some[:12]])
    if top == 1:
        winner = profiles.winner(rule)
        label, good = winner[chosen], winner[:, None] == np.arange(3)
    else:
        good = profiles.among_top(rule, top)
        label = rng.integers(0, 3, len(chosen))
    scores = profiles.scores[profiles.choices[chosen]]
    result = sc.certify_ballots(
        scores, family, rule, threat=threat, abstain=tau, top=top, label=np.maximum(label, 0)
    )
    attackers = attackers_of(family, threat)
    truth = np.array(
        [
            true_radius(profiles, int(i), good[:, c], attackers) if c >= 0 else -1
            for i, c in zip(chosen, label, strict=True)
        ]
    )
    assert (result.radius <= truth).all()
    np.testing.assert_array_equal(result.radius >= 0, truth >= 0)
    if top == 1 and rule != "run-off" and threat != "sparse":
        np.testing.assert_array_equal(result.radius, truth)
    assert truth.max() > truth.min()


def scores_of_all(
    family: sc.FixedAblation, classes: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores of one random base classifier on every binary image: (2^d, sets, classes)."""
    images = binary_images(family.num_features)
    scores = np.empty((len(images), family.num_sets, classes))
    favour = np.eye(classes, dtype=np.int64)[rng.integers(classes)] * rng.integers(1, 4)
    for number, members in enumerate(family.membership):
        size = int(members.sum())
        table = rng.integers(0, 4, size=(2**size, classes)) + favour
        scores[:, number] = table[images[:, members] @ (1 << np.arange(size))]
    return scores


def can_become(d: int, windows: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """`(2^d, 2^d)`: which binary images differ inside one of the windows only."""
    images = binary_images(d).astype(np.bool_)
    places = 1 << np.arange(d)
    codes = images @ places
    different = codes[:, None] ^ codes[None, :]
    outside = [int((~window) @ places) for window in windows]
    return np.asarray(np.any([different & mask == 0 for mask in outside], axis=0))


IMAGE = (2, 5)
IMAGE_FAMILIES = [
    *(column_bands(IMAGE, 1), column_bands(IMAGE, 2), row_bands(IMAGE, 1), square_blocks(IMAGE, 2)),
    sc.stratified_partitions(IMAGE, 4, 2),
]


@pytest.mark.parametrize("tau", [0.0, TAU])
@pytest.mark.parametrize("rule", RULES)
def test_every_patch_at_every_position_with_every_content(rule: str, tau: float) -> None:
    rng = np.random.default_rng((len(rule), int(tau)))
    sizes = [(1, 1), (2, 1), (2, 2)]
    reachable = [can_become(10, windows_of(IMAGE, size)) for size in sizes]
    seen = set()
    for family, classes in itertools.product(IMAGE_FAMILIES, (2, 3)):
        for _ in range(4):
            scores = scores_of_all(family, classes, rng)
            result = sc.certify_ballots(
                scores, family, rule, threat="patch:1x1,2x1,2x2", abstain=tau
            )
            same = result.label[:, None] == result.label[None, :]
            for level, near in enumerate(reachable, start=1):
                assert same[near & (result.radius >= level)[:, None]].all()
            seen |= set(result.radius.tolist())
    assert {0, 1, 2, 3} <= seen


@pytest.mark.parametrize("rule", RULES)
def test_every_window_of_a_vector(rule: str) -> None:
    rng = np.random.default_rng(len(rule))
    d, seen = 8, set()
    for length, tau in itertools.product((1, 2), (0.0, TAU)):
        family = contiguous_windows(d, length)
        for _ in range(6):
            scores = scores_of_all(family, 3, rng)
            result = sc.certify_ballots(scores, family, rule, threat="window:1,2,3", abstain=tau)
            same = result.label[:, None] == result.label[None, :]
            for size in (1, 2, 3):
                near = can_become(d, windows_of((1, d), (1, size)))
                assert same[near & (result.radius >= size)[:, None]].all()
            seen |= set(result.radius.tolist())
    assert {1, 2, 3} <= seen


@pytest.mark.parametrize("threat", ["sparse", "window:2"])
@pytest.mark.parametrize("rule", TOP_RULES)
def test_the_top_k_of_every_input(rule: str, threat: str) -> None:
    """Every class of every binary vector, against every change that the threat allows."""
    rng = np.random.default_rng((len(rule), len(threat)))
    d, classes, largest = 6, 5, 0
    images = binary_images(d)
    distance = (images[:, None] != images[None, :]).sum(axis=2)
    near = [distance == 0]
    if threat == "sparse":
        near += [distance <= rho for rho in range(1, d + 1)]
    else:
        near.append(can_become(d, windows_of((1, d), (1, 2))))
    for top, tau, length in itertools.product((2, 3), (0.0, TAU), (1, 2)):
        family = contiguous_windows(d, length)
        scores = scores_of_all(family, classes, rng)
        certified = np.stack(
            [
                sc.certify_ballots(
                    scores,
                    family,
                    rule,
                    threat=threat,
                    abstain=tau,
                    top=top,
                    label=np.full(len(images), c),
                ).radius
                for c in range(classes)
            ],
            axis=1,
        )
        members = certified >= 0
        size = members.sum(axis=1)
        assert size.max() <= (top if rule == "plurality" else 2 * top - 1)
        assert size.min() >= 1
        for level, reached in enumerate(near):
            stays = np.all(members[None, :] | ~reached[:, :, None], axis=1)
            assert stays[certified >= level].all()
        largest = max(largest, int(certified.max()))
    assert largest >= 1


def test_a_patch_that_touches_every_band_certifies_nothing() -> None:
    family = column_bands((4, 6), 2)
    scores = np.zeros((1, 6, 3))
    scores[:, :, 1] = 1
    result = sc.certify_ballots(scores, family, "pairwise", threat="patch:1x1,4x2,4x5")
    assert (result.label.tolist(), result.radius.tolist()) == ([1], [1])
    # Two columns touch three bands, of which every one may be lost: 3 of 6 is no majority left.
    assert sc.certify_ballots(scores, family, threat="patch:4x3").radius.tolist() == [0]


@pytest.mark.parametrize(
    ("family", "threat", "words"),
    [
        (column_bands((3, 4), 1), "patch", "expected a threat sparse, patch:HxW or window:L"),
        (column_bands((3, 4), 1), "patch:0x2", "expected a threat sparse"),
        (column_bands((3, 4), 1), "patch:3x2,2x3", "each holds the one before"),
        (column_bands((3, 4), 1), "patch:4x2", "fits into"),
        (column_bands((3, 4), 1), "window:2", "expected a threat patch:HxW for images"),
        (contiguous_windows(4, 2), "patch:1x1", "FixedAblation\\(sets, image_shape"),
        (contiguous_windows(4, 2), "window:5", "fits into"),
    ],
)
def test_a_threat_that_does_not_fit_gets_a_sentence(
    family: sc.FixedAblation, threat: str, words: str
) -> None:
    with pytest.raises(sc.InputError, match=words):
        sc.certify_ballots(np.zeros((1, family.num_sets, 2)), family, threat=threat)


def test_numbers_out_of_range_get_a_sentence() -> None:
    family = contiguous_windows(4, 2)
    scores = np.zeros((1, 4, 3))
    with pytest.raises(sc.InputError, match="abstain as a difference"):
        sc.certify_ballots(scores, family, abstain=-0.1)
    with pytest.raises(sc.InputError, match="finite scores"):
        sc.certify_ballots(np.full((1, 4, 3), -np.inf), family, abstain=0.1)
    with pytest.raises(sc.InputError, match="top from 1 to 2"):
        sc.certify_ballots(scores, family, top=3)
    with pytest.raises(sc.InputError, match="for the top 2, got run-off"):
        sc.certify_ballots(scores, family, "run-off", top=2)
    with pytest.raises(sc.InputError, match="one label for each"):
        sc.certify_ballots(scores, family, label=[0, 1])
