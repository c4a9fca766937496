from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.attacks.early import (
    ERROR,
    MajorityEarlyAnswer,
    PairwiseEarlyAnswer,
    critical_leads,
    critical_pairwise_lead,
    looks,
)
from sparsecert.certification import prediction_of
from sparsecert.votes.rankings import count_pairs

Ballots = tuple[sc.Tally, Callable[[slice], NDArray[np.int64]]]  # all, and counts of some


def test_critical_leads_are_where_predict_abstains() -> None:
    leads = critical_leads(60, 0.05)
    for total in range(1, 61):
        for first in range((total + 1) // 2, total + 1):
            counts = np.array([[first, total - first, 60 - total]])
            if counts[0].argmax() == 2 or counts[0, 2] > total - first:
                continue
            abstains = prediction_of(sc.Tally(counts), 0.05).label[0] == sc.ABSTAIN
            assert abstains == (2 * first - total <= leads[total])


def pairwise_tally(above: NDArray[np.bool_]) -> sc.Tally:
    """Of `(ballots, rivals)` whether classes 1, 2, ... are above class 0."""
    n, rivals = above.shape
    logits = np.zeros((n, rivals + 1))
    logits[:, 1:] = np.where(above, 1, -1) - np.arange(rivals) / 100
    pairs = count_pairs(torch.from_numpy(logits), torch.zeros(n, dtype=torch.int64), 1).numpy()
    first = np.bincount(logits.argmax(axis=1), minlength=rivals + 1)
    return sc.Tally(first[None], pairs)


@pytest.mark.parametrize("alpha", [0.05, 0.9])
def test_critical_pairwise_lead_is_where_predict_abstains(alpha: float) -> None:
    n = 61
    lead = critical_pairwise_lead(n, 4, alpha)
    for wins in range(n + 1):
        above = np.zeros((n, 3), dtype=np.bool_)
        above[wins:, 1] = True
        label = prediction_of(pairwise_tally(above), alpha, "pairwise").label[0]
        assert (label == 0) == (2 * wins - n > lead)


def test_looks_double_up_to_the_end() -> None:
    assert looks(500) == [64, 128, 256, 500]
    assert looks(64) == [64]
    assert looks(0) == [0]


def by_first_choice(share: float, n: int, rng: np.random.Generator) -> Ballots:
    ballots = rng.choice(3, n, p=(share, 0.9 * (1 - share), 0.1 * (1 - share)))
    tally = sc.Tally(np.bincount(ballots, minlength=3)[None])
    return tally, lambda part: np.bincount(ballots[part], minlength=3)


def head_to_head(share: float, n: int, rng: np.random.Generator) -> Ballots:
    above = rng.random((n, 2)) > (share, min(1, share + 0.05))
    return pairwise_tally(above), lambda part: np.array(
        [len(above[part]), *above[part].sum(axis=0)]
    )


@pytest.mark.parametrize("share", [0.5, 0.53, 0.55, 0.6, 0.9])
@pytest.mark.parametrize("rule", ["majority", "pairwise"])
def test_early_answers_are_those_of_predict(rule: str, share: float) -> None:
    """Against PREDICT with all ballots; an early answer may be wrong once in a hundred times."""
    n, label, trials, start = 2_000, 0, 150, 300
    generator = np.random.default_rng(0)
    kind, cast = {
        "majority": (MajorityEarlyAnswer, by_first_choice),
        "pairwise": (PairwiseEarlyAnswer, head_to_head),
    }[rule]
    early = kind(n, 3, 0.05)
    wrong = saved = 0
    for _ in range(trials):
        tally, count = cast(share, n, generator)
        known, rest = count(slice(start)), count(slice(start, n))
        expected = prediction_of(tally, 0.05, rule).label[0] != label
        if rule == "pairwise":
            strict = PairwiseEarlyAnswer(n, 3, None)(known, rest, 0, label)
            assert strict == (tally.pairwise_winner[0] != label)
        for number in looks(n - start):
            seen = count(slice(start, start + number))
            answer = early(known, seen, n - start - number, label)
            if answer is not None:
                break
        wrong += answer != expected
        saved += n - start - number
    assert wrong <= ERROR * trials
    assert saved > 0.8 * trials * (n - start) or share < 0.9


def test_ballots_that_no_longer_matter_are_not_waited_for() -> None:
    early = MajorityEarlyAnswer(1_000, 3, 0.05)
    nothing = np.zeros(3, dtype=np.int64)
    assert early(np.array([800, 50, 50]), nothing, 100, 0) is False
    assert early(np.array([100, 700, 100]), nothing, 100, 0) is True
    assert early(np.array([400, 350, 150]), nothing, 100, 0) is None
    assert early(np.array([500, 450, 50]), nothing, 0, 0) is True  # too close: an abstention
    assert early(np.array([600, 350, 50]), nothing, 0, 0) is False
