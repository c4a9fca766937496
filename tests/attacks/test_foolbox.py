"""Pointwise's resets against foolbox's, where foolbox is installed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, attack_each
from sparsecert.attacks.query import InputUnits, Queries
from sparsecert.attacks.reset import found_images, reset_features
from tests.attacks.victims import linear_problem

foolbox = pytest.importorskip("foolbox")


@pytest.mark.filterwarnings("ignore")
def test_sizes_are_those_of_foolbox_from_the_same_starts() -> None:
    """Both end at a random local minimum; over many runs their mean sizes agree."""
    victim, images, labels, _ = linear_problem((1, 8, 8), 30)
    generator = torch.Generator().manual_seed(4)
    starts = torch.rand(4_000, 1, 8, 8, generator=generator).round()
    classes = victim.predict(starts)
    chosen = [starts[classes != label] for label in labels]
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    theirs, ours = [], []
    for row, candidates in enumerate(chosen):
        part = slice(row, row + 1)
        start = candidates[:1]
        attack = foolbox.attacks.PointwiseAttack()
        found = attack.run(
            model,
            images[part],
            foolbox.criteria.Misclassification(torch.from_numpy(labels[part])),
            starting_points=start,
        )
        theirs.append(InputUnits(images[row]).changed(found[0], images[row]).sum())

        def search(
            queries: Queries, _: int, generator: np.random.Generator, start: Tensor = start[0]
        ) -> Iterator[Tensor]:
            return found_images(reset_features(queries, [queries.version(start)], generator))

        result = attack_each(
            victim,
            images[part],
            labels[part],
            None,
            search,
            probe=DEFAULT_PROBE,
            seed=0,
            indices=[row],
        )
        ours.append(int(result.size[0]))
    assert min(ours) > 0
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.1)
