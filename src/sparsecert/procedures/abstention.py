"""How far apart probabilities must be for a ballot to prefer a class: chosen on held-out examples.

A threshold that was chosen on the images whose certificates are reported would flatter them. So it
is chosen on training examples which the network has not been trained on (`train --held-out`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsecert import data
from sparsecert.errors import InputError
from sparsecert.procedures.execution import Execution, LocalExecution
from sparsecert.procedures.procedure import Procedure, RunImages
from sparsecert.procedures.run import load_evaluation_data, procedure_for
from sparsecert.runs.folder import RunFolder

BEST = "best"
CANDIDATES = tuple(round(0.01 * step, 2) for step in range(51))


def best_abstain(
    run: RunFolder, settings: Mapping[str, Any], execution: Execution | None = None
) -> float:
    """The candidate whose certificates of held-out training examples are the largest on average.

    Incorrect examples and those that are not certified count as radius 0; of equal candidates the
    smallest is taken.

    Args:
        run: a trained run of a fixed family.
        settings: of the procedure, without `abstain`.
        execution: where ballots are cast; by default here.

    Raises:
        InputError: for a run without held-out examples, or of a design that draws samples.
    """
    images = held_out_images(run)

    def reading(abstain: float) -> Procedure:
        return procedure_for(run.config.design, **{**settings, "abstain": abstain})

    def mean_radius(abstain: float) -> float:
        found = reading(abstain).measure(images)
        radius = np.maximum(found.certification.radius, 0)
        return float(np.where(found.certification.label == images.targets, radius, 0).mean())

    reading(CANDIDATES[-1]).count(images, execution or LocalExecution())
    return max(CANDIDATES, key=mean_radius)


def held_out_images(run: RunFolder) -> RunImages:
    """The training examples that a run was not trained on.

    Raises:
        InputError: if there are none.
    """
    if not run.config.held_out:
        raise InputError(
            f"expected a run with held-out training examples, to choose by, got {run.path}; train "
            "with --held-out, or give --abstain a number"
        )
    dataset = load_evaluation_data(run, split="train")
    return RunImages(run, dataset, data.held_out(len(dataset), run.config.held_out))
