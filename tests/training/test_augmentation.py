from __future__ import annotations

import numpy as np
import torch

from sparsecert.training.augmentation import random_crop_and_flip


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
