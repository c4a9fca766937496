"""One network for all bands: what the certificates ask of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsecert.designs.bands import Bands
from sparsecert.errors import InputError
from sparsecert.models.band_network import BandNetwork
from sparsecert.smoothing.family import FixedSmoothedClassifier
from tests.helpers.classifiers import images

SHAPE = (1, 6, 8)


def network(design: Bands) -> BandNetwork:
    torch.manual_seed(0)
    base = BandNetwork(design.crops, 2, design.num_features, 3, width=4)
    for parameter in base.parameters():  # so that sets and places matter too
        torch.nn.init.normal_(parameter, std=0.5)
    return base


@pytest.mark.parametrize("layout", ["columns:1", "columns:3", "rows:2", "block:3"])
def test_a_ballot_sees_the_units_of_its_set_only(layout: str) -> None:
    design = Bands(48, layout, (6, 8))
    smoothed = FixedSmoothedClassifier(network(design), design.ablation, 3)
    x = images(1, shape=SHAPE)
    before = smoothed.ballots(x)[0]
    for pixel in range(48):
        changed = x.clone()
        changed[0, 0, pixel // 8, pixel % 8] = 1 - changed[0, 0, pixel // 8, pixel % 8]
        touched = (smoothed.ballots(changed)[0] != before).any(dim=1).numpy()
        member = design.ablation.membership[:, pixel]
        assert not touched[~member].any()
        assert touched[member].all()


def test_windows_of_vectors_and_a_batch_of_any_size() -> None:
    design = Bands(9, "window:4")
    smoothed = FixedSmoothedClassifier(network(design), design.ablation, 3)
    x = torch.rand(5, 9)
    together = smoothed.ballots(x)
    assert together.shape == (5, 9, 3)
    torch.testing.assert_close(together[2:3], smoothed.ballots(x[2:3]))


def test_training_looks_at_some_sets_of_each_image() -> None:
    design = Bands(48, "columns:2", (6, 8))
    base = network(design).train()
    assert base(torch.rand(7, 2, 6, 8)).shape == (7, 2, 3)


def test_other_sets_and_sizes_are_refused() -> None:
    design, other = Bands(48, "columns:2", (6, 8)), Bands(48, "columns:3", (6, 8))
    with pytest.raises(InputError, match="got one for other sets"):
        FixedSmoothedClassifier(network(design), other.ablation, 3)
    with pytest.raises(InputError, match="expected encoded inputs of 96 numbers"):
        network(design)(torch.zeros(1, 2, 6, 9))
    with pytest.raises(InputError, match=r"expected images of \(6, 8\)"):
        FixedSmoothedClassifier(network(design), design.ablation, 3).certify(
            images(1, shape=(1, 8, 6))
        )


def test_crops_are_the_sets() -> None:
    for layout in ("columns:2", "rows:6", "block:2"):
        design = Bands(48, layout, (6, 8))
        sets = design.ablation.membership
        assert (
            np.sort(design.crops.reshape(len(sets), -1)) == [np.flatnonzero(s) for s in sets]
        ).all()
        # Every unit is in equally many sets, as they go on at the other end.
        assert len(set(sets.sum(axis=0).tolist())) == 1


def test_families_far_beyond_any_run_get_a_sentence() -> None:
    with pytest.raises(InputError, match="expected fewer sets than 50176 of block"):
        Bands(224 * 224, "block:8", (224, 224))
    assert len(Bands(224 * 224, "columns:8", (224, 224)).crops) == 224
