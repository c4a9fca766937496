"""The whole procedure, from sampler to radius, errs as rarely as it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import sparsecert as sc
from tests.helpers.classifiers import Alarm
from tests.helpers.spaces import is_rare
from tests.helpers.votes import RULES, SAMPLINGS


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("rule", RULES)
def test_error_rate_of_certify_at_the_hardest_image(rule: str, sampling: str) -> None:
    """With k = 1, 5 bright pixels of 8 give class 1 exactly 1/2 + Delta(1) of the votes.

    One changed pixel brings a tie, so radius 1 is an error. Each index has streams of its own, so
    2 000 copies of the image are 2 000 independent certifications.
    """
    image = torch.tensor([1.0] * 5 + [0.0] * 3).view(1, 1, 2, 4)
    copies, alpha = 2_000, 0.05
    smoothed = sc.SmoothedClassifier(Alarm(), sc.UniformAblation(8, 1), 2)
    result = smoothed.certify(
        image.expand(copies, -1, -1, -1),
        num_selection=50,
        num_samples=200,
        alpha=alpha,
        rule=rule,
        sampling=sampling,
    )
    errors = int(((result.label == 1) & (result.radius >= 1)).sum())
    assert is_rare(errors, copies, alpha)
    assert errors > 0  # at the hardest image a bound that never errs would be needlessly loose
    if sampling == "sequential":
        return  # shares of ballots up to a stop that depends on them are not quite unbiased
    shares = result.tally.first_choice[:, 1] / 200
    assert abs(shares.mean() - 5 / 8) < 5 * math.sqrt(5 / 8 * 3 / 8 / (200 * copies))


def test_radii_are_useful_one_step_inside_the_threshold() -> None:
    image = torch.tensor([1.0] * 7 + [0.0]).view(1, 1, 2, 4)
    smoothed = sc.SmoothedClassifier(Alarm(), sc.UniformAblation(8, 1), 2)
    result = smoothed.certify(image.expand(200, -1, -1, -1), num_selection=50, num_samples=1_000)
    # The share is 7/8 = 1/2 + Delta(3): radius 2 is true and far from the threshold.
    assert np.mean(result.radius == 2) > 0.9
