from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsecert.training import augmentation
from sparsecert.training.augmentation import random_crop_and_flip, random_warp_and_colour


def test_crops_and_mirrors_are_windows_of_the_padded_image() -> None:
    """Against every window cut by slicing: each result is one of them, and all come up."""
    x = torch.rand(1, 3, 16, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    padded = torch.zeros(3, 20, 10)
    padded[:, 2:18, 1:9] = x[0]
    windows = {
        (top, left, mirrored): window.flip(2) if mirrored else window
        for top in range(5)
        for left in range(3)
        for mirrored in (False, True)
        for window in [padded[:, top : top + 16, left : left + 8]]
    }
    found = set()
    for image in random_crop_and_flip(x.expand(400, 3, 16, 8), np.random.default_rng(0)):
        matching = [name for name, window in windows.items() if torch.equal(window, image)]
        assert len(matching) == 1
        found.update(matching)
    assert found == set(windows)


def test_each_image_gets_its_own_crop() -> None:
    x = torch.arange(4.0)[:, None, None, None].expand(4, 1, 32, 32)
    cropped = random_crop_and_flip(x, np.random.default_rng(0))
    for index, image in enumerate(cropped):
        assert set(image.unique().tolist()) <= {0.0, float(index)}


DRAWS = ("angle", "tall", "wide", "down", "right", "mirror", "bright", "contrast", "saturation")


class Drawn(np.random.Generator):
    """A generator of which these come up, in shares of the most, and otherwise no change."""

    def __init__(self, **values: float) -> None:
        super().__init__(np.random.PCG64())
        self.draws = [[values.get(name, float(name == "mirror"))] for name in DRAWS]

    def uniform(self, *_: Any) -> Any:
        return np.array(self.draws)


def test_warps_are_those_that_slicing_and_turning_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "TURN", math.pi / 2)
    monkeypatch.setattr(augmentation, "STRETCH", math.log(2))
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    half = x[..., 4:12].repeat_interleave(2, dim=3)
    for values, expected in [
        ({}, x),
        ({"mirror": -0.3}, x.flip(3)),
        ({"right": 1.0}, right_of(x)),
        ({"down": 1.0}, right_of(x.mT).mT),
        ({"angle": 1.0}, x.rot90(1, (2, 3))),
        ({"wide": -1.0}, half),
    ]:
        warped = random_warp_and_colour(x, Drawn(**values))
        torch.testing.assert_close(warped, expected, msg=str(values))


def right_of(x: Tensor) -> Tensor:
    """Seen two pixels further to the right, where what lies outside is a reflection."""
    return torch.cat((x[..., 2:], x[..., -2:].flip(3)), dim=3)


def test_colours_change_within_their_range() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 4 + 0.3
    grey, level = x.mean(dim=1, keepdim=True), x.mean()
    for values, expected in [
        ({"bright": 1.0}, x + 0.15),
        ({"contrast": -1.0}, level + 0.7 * (x - level)),
        ({"saturation": 1.0}, grey + 1.3 * (x - grey)),
    ]:
        torch.testing.assert_close(random_warp_and_colour(x, Drawn(**values)), expected)
    assert random_warp_and_colour(x + 0.4, Drawn(bright=1.0)).max() == 1


def test_each_image_is_warped_in_its_own_way() -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).expand(50, -1, -1, -1)
    warped = random_warp_and_colour(x, np.random.default_rng(0))
    assert len({image.numpy().tobytes() for image in warped}) == 50
