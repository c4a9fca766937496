"""Attacks on vectors with missing values, which are NaN and so unequal to themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sparsecert as sc
from sparsecert.attacks import Probe
from tests.attacks.test_attacks import ATTACKS, Attack

D, K = 36, 6
MISSING = [0, 7, 20, 35]


class Alarm(nn.Module):
    """Votes 1 where a retained feature is large, as `classifiers.Alarm` does for images."""

    def forward(self, encoded: Tensor) -> Tensor:
        largest = encoded[:, :D].max(dim=1).values
        return torch.stack((torch.zeros_like(largest), 8 * (largest - 0.6)), dim=1)


@pytest.mark.timeout(100)
@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_attacks_end_and_count_what_they_changed(attack: Attack, options: dict[str, Any]) -> None:
    """4 large features of 36 are on more than half of the ballots, whatever is missing."""
    victim = sc.SmoothedClassifier(Alarm(), sc.UniformAblation(D, K), 2)
    x = 0.4 * torch.rand(2, D, generator=torch.Generator().manual_seed(0))
    x[:, MISSING] = float("nan")
    probe = Probe(num_samples=2_000, num_search=300, num_gradient=64)
    result = attack(victim, x, np.zeros(2, dtype=np.int64), probe=probe, **options)
    same = torch.where(x.isnan(), result.adversarial.isnan(), result.adversarial == x)
    np.testing.assert_array_equal((~same).sum(dim=1).numpy(), result.size)
    assert result.size.tolist() == [4, 4]
    known = result.adversarial[~result.adversarial.isnan()]
    assert 0 <= known.min() <= known.max() <= 1
