from __future__ import annotations

import numpy as np
import pytest

import sparsecert as sc
from sparsecert.attacks.early import ERROR, EarlyAnswer, critical_leads, looks


def test_critical_leads_are_where_predict_abstains() -> None:
    leads = critical_leads(60, 0.05)
    for total in range(1, 61):
        for first in range((total + 1) // 2, total + 1):
            counts = np.array([[first, total - first, 60 - total]])
            if counts[0].argmax() == 2 or counts[0, 2] > total - first:
                continue
            abstains = sc.predict_tally(sc.Tally(counts)).label[0] == sc.ABSTAIN
            assert abstains == (2 * first - total <= leads[total])


def test_looks_double_up_to_the_end() -> None:
    assert looks(500) == [64, 128, 256, 500]
    assert looks(64) == [64]
    assert looks(0) == [0]


@pytest.mark.parametrize("share", [0.5, 0.53, 0.55, 0.6, 0.9])
def test_early_answers_are_those_of_predict(share: float) -> None:
    """Against PREDICT with all ballots; an early answer may be wrong once in a hundred times."""
    n, label, trials = 2_000, 0, 150
    generator = np.random.default_rng(0)
    early = EarlyAnswer(n, 3, 0.05)
    wrong = saved = 0
    for _ in range(trials):
        ballots = generator.choice(3, n, p=(share, 0.9 * (1 - share), 0.1 * (1 - share)))
        known = np.bincount(ballots[:300], minlength=3)
        final = np.bincount(ballots, minlength=3)
        expected = sc.predict_tally(sc.Tally(final[None])).label[0] != label
        for number in looks(n - 300):
            seen = np.bincount(ballots[300 : 300 + number], minlength=3)
            answer = early(known, seen, n - 300 - number, label)
            if answer is not None:
                break
        wrong += answer != expected
        saved += n - 300 - number
    assert wrong <= ERROR * trials
    assert saved > 0.8 * trials * (n - 300) or share < 0.9


def test_ballots_that_no_longer_matter_are_not_waited_for() -> None:
    early = EarlyAnswer(1_000, 3, 0.05)
    nothing = np.zeros(3, dtype=np.int64)
    assert early(np.array([800, 50, 50]), nothing, 100, 0) is False
    assert early(np.array([100, 700, 100]), nothing, 100, 0) is True
    assert early(np.array([400, 350, 150]), nothing, 100, 0) is None
    assert early(np.array([500, 450, 50]), nothing, 0, 0) is True  # too close: an abstention
    assert early(np.array([600, 350, 50]), nothing, 0, 0) is False
