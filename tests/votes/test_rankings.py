from __future__ import annotations

import numpy as np
import torch

from sparsecert.votes.rankings import count_pairs, first_choices
from tests.helpers.classifiers import tied_logits


def test_pairs_are_the_rankings_counted_one_by_one() -> None:
    """Against sorting each ballot, with many ties, infinities and both zeros among the logits."""
    logits = tied_logits(300, 5)
    rows = np.sort(np.random.default_rng(0).integers(0, 4, 300))
    expected = np.zeros((4, 5, 5), dtype=np.int64)
    first = []
    for row, ballot in zip(rows, logits.tolist(), strict=True):
        ranking = sorted(range(5), key=lambda c: (-ballot[c], c))
        first.append(ranking[0])
        for place, c in enumerate(ranking):
            for j in ranking[place + 1 :]:
                expected[row, c, j] += 1
    np.testing.assert_array_equal(count_pairs(logits, torch.from_numpy(rows), 4), expected)
    assert first_choices(logits).tolist() == first
    one = torch.zeros(300, dtype=torch.int64)
    np.testing.assert_array_equal(count_pairs(logits, one, 1), expected.sum(axis=0)[None])


def test_an_input_without_ballots_has_no_pairs() -> None:
    counts = count_pairs(torch.zeros(2, 3), torch.tensor([2, 2]), 3)
    assert counts.sum(dim=(1, 2)).tolist() == [0, 0, 6]
    assert count_pairs(torch.empty(0, 3), torch.empty(0, dtype=torch.int64), 1).sum() == 0
