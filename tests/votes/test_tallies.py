"""What is no tally is refused: counts that no ballots give, at one look or at several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sparsecert as sc
from sparsecert.theory.schedule import growing_looks
from tests.helpers.votes import looks_of, pairs_of

N = 1_000
LOOKS = growing_looks(N)
RANKINGS = [[0, 1, 2], [1, 2, 0], [2, 1, 0]]

FIRST = [[3, 1]]
FEW = [[3, 1, 0]]
PAIRS = [[[0, 3, 4], [1, 0, 2]]]  # of the classes 0 and 1

# First choices, head-to-head counts, tracked classes.
WRONG: list[tuple[tuple[Any, ...], str]] = [
    (([[3, -1]],), "at least 0"),
    (([3, 1],), "dimensions"),
    (([[0.5, 0.5]],), "integers, got dtype float64"),
    ((FIRST, np.zeros((1, 3, 3), dtype=np.int64)), "head_to_head"),
    ((FIRST, [[[0, 3], [2, 0]]]), r"\[c, j\] \+ \[j, c\]"),
    ((FIRST, [[[1, 3], [1, 0]]]), r"0 at \[c, c\]"),
    ((FIRST, [[[0, 2], [2, 0]]]), "first choice above every other"),
    ((FEW, None, [[0, 1]]), "expected head_to_head counts"),
    ((FEW, PAIRS, [[0, 0]]), "different tracked classes"),
    ((FEW, PAIRS, [[0, 3]]), "between 0 and 2"),
    ((FEW, PAIRS, [[0, -2]]), "between 0 and 2"),
    ((FEW, PAIRS, [[0]]), r"head_to_head of shape \(1, 1, 3\)"),
    ((FEW, PAIRS, [[0, 1], [0, 1]]), "for 1 inputs"),
    ((FEW, PAIRS, [0, 1]), r"of shape \(batch, T\)"),
    ((FEW, PAIRS, [[0, -1]]), "head_to_head of 0 where -1 is tracked"),
    ((FEW, [[[0, 2, 4], [2, 0, 2]]], [[0, 1]]), "first choice above every other"),
    ((FEW, [[[0, 3, 4], [2, 0, 2]]], [[0, 1]]), r"\[c, j\] \+ \[j, c\]"),
    ((FEW, [[[1, 3, 4], [1, 0, 2]]], [[0, 1]]), r"0 at \[c, c\]"),
    ((FEW, [[[0, 3, 5], [1, 0, 2]]], [[0, 1]]), "at most the ballots"),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("counts", "sentence"), WRONG)
def test_counts_that_no_ballots_give(counts: tuple[Any, ...], sentence: str) -> None:
    sc.Tally(np.array(FEW), np.array(PAIRS), np.array([[0, 1]]))
    arrays: list[Any] = [None if part is None else np.array(part) for part in counts]
    with pytest.raises(sc.InputError, match=sentence):
        sc.Tally(*arrays)


def looks() -> sc.Tally:
    return looks_of(np.random.default_rng(0), [0.5, 0.3, 0.2], RANKINGS, N, 2)


@pytest.mark.usefixtures("unchecked")
def test_counts_at_looks_that_no_ballots_give() -> None:
    tally = looks()
    good, pairs = tally.first_choice, pairs_of(tally)
    more, gap, falling = good.copy(), good.copy(), good.copy()
    more[0, 3, 0] += 1
    gap[0, 0] = 0
    falling[0, :2] = [[LOOKS[0], 0, 0], [0, 0, LOOKS[1]]]
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((good[:, :1],), r"got \(2, 1, 3\)"),
        ((more,), "add up to"),
        ((gap,), "add up to"),
        ((falling,), "do not fall"),
        ((falling.astype(np.uint32),), "do not fall"),  # differences would wrap around
        ((good, pairs[:, :1]), "expected head_to_head of shape"),
        ((good.astype(np.float64),), "to be integers"),
        ((good, None, np.array([[5], [5]])), "between 0 and 2"),
    ]
    for counts, sentence in wrong:
        first, rankings, tracked = (*counts, None, None)[:3]
        with pytest.raises(sc.InputError, match=sentence):
            sc.Tally(first, rankings, tracked, LOOKS)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
def test_unsigned_counts_are_as_good_as_others(kind: type[np.unsignedinteger]) -> None:
    tally = looks()
    same = sc.Tally(tally.first_choice.astype(kind), pairs_of(tally).astype(kind), looks=LOOKS)
    for rule in ("majority", "pairwise"):
        found, expected = (
            sc.certify_tally(votes, [0, 0], sc.UniformAblation(16, 2), rule=rule)
            for votes in (same, tally)
        )
        np.testing.assert_array_equal(found.radius, expected.radius)
