"""The procedure that goes with a design, from settings or from a record."""

from __future__ import annotations

from typing import Any

import pytest

from sparsecert import UniformAblation
from sparsecert.designs.design import Design
from sparsecert.designs.family import Partitions
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.errors import InputError
from sparsecert.procedures.family import FamilyProcedure
from sparsecert.procedures.procedure import Procedure
from sparsecert.procedures.run import (
    certify_images,
    procedure_for,
    recorded_procedure,
    run_images,
)
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.runs.folder import RunFolder

UNIFORM, NOISE, PARTITION = UniformAblation(64, 12), DiscreteNoise(64, 0.8, 2), Partitions(64, 4)


@pytest.mark.parametrize(
    ("design", "given", "procedure"),
    [
        (UNIFORM, {}, SampledProcedure()),
        (UNIFORM, {"rule": None, "alpha": None, "seed": 0}, SampledProcedure()),
        (UNIFORM, {"rule": "margin", "alpha": 0.1}, SampledProcedure(alpha=0.1, rule="margin")),
        (NOISE, {"num_selection": 7, "num_samples": 9}, SampledProcedure(7, 9)),
        (PARTITION, {"alpha": None, "sampling": None}, FamilyProcedure("plurality")),
        (PARTITION, {"rule": "pairwise"}, FamilyProcedure("pairwise")),
    ],
)
def test_the_design_decides_and_none_is_a_default(
    design: Design, given: dict[str, Any], procedure: Procedure
) -> None:
    assert procedure_for(design, **given) == procedure


FOREIGN = "for 4 strided sets of 64, a fixed family, which casts all its ballots"


@pytest.mark.parametrize(
    ("design", "given", "sentence"),
    [
        (UNIFORM, {"rule": "run-off"}, "rules majority, margin, pairwise, .* got 'run-off'"),
        (NOISE, {"rule": "pairwise"}, "rules majority, by which the design lee2019"),
        (PARTITION, {"rule": "majority"}, "rules plurality, run-off, pairwise"),
        (UNIFORM, {"alpha": 1.0}, "alpha"),
        (UNIFORM, {"num_selection": 0}, "num_selection to be at least 1"),
        (UNIFORM, {"sampling": "sequential", "num_samples": 0}, "num_samples to be at least 1"),
        (UNIFORM, {"seed": -1}, "seed"),
        (PARTITION, {"alpha": 0.1, "seed": 3}, f"no alpha and no seed {FOREIGN}"),
        (PARTITION, {"num_samples": 10}, f"no num_samples {FOREIGN}"),
    ],
)
def test_what_does_not_go_with_a_design_gets_a_sentence(
    design: Design, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        procedure_for(design, **given)


@pytest.mark.parametrize(
    ("fixture", "procedure"),
    [
        ("folder", SampledProcedure(5, 150, "sequential", 3, 0.1, "pairwise")),
        ("family_folder", FamilyProcedure("run-off")),
    ],
)
def test_a_record_names_its_procedure(
    fixture: str, procedure: Procedure, request: pytest.FixtureRequest
) -> None:
    run = RunFolder(request.getfixturevalue(fixture))
    said = procedure.to_record(certify_images(run_images(run, limit=2), procedure))
    assert recorded_procedure(run.config.design, said) == procedure
