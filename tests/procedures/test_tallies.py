"""Tallies of a run's images, under every way of sampling there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from sparsecert.procedures.execution import LocalExecution, Work, Worker
from sparsecert.procedures.procedure import RunImages
from sparsecert.procedures.run import certify_images, run_images
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.runs.folder import RunFolder
from sparsecert.theory.schedule import SCHEDULES, Sampling
from tests.helpers.commands import parts
from tests.helpers.internals import no_network
from tests.helpers.votes import assert_same_votes


class CutOffError(Exception):
    """What `CutOff` ends with."""


class CutOff(LocalExecution):
    """An execution that does every other image, one by one, and is gone."""

    def run(self, work: Work[Any]) -> None:
        if len(work.missing):
            worker = Worker(compile=False)
            worker.begin(work.task)
            for image in work.missing[::2, None]:
                work.store([worker.do(image)])
            raise CutOffError


def cut_off(images: RunImages, procedure: SampledProcedure) -> None:
    """Four times while a class is selected, and twice while its share is estimated."""
    for _ in range(6):
        with pytest.raises(CutOffError):
            procedure.count(images, CutOff())
    assert len(parts(images.run.path, "estimation-*.parquet")) == 9


def in_portions(images: RunImages, procedure: SampledProcedure) -> None:
    for every in (5, 3):
        certify_images(images.take(np.arange(12) % every == 0), procedure)


def for_another_alpha(images: RunImages, procedure: SampledProcedure) -> None:
    """A looser one stops earlier, where there are looks."""
    certify_images(images, replace(procedure, alpha=0.5))


@pytest.mark.parametrize("before", [cut_off, in_portions, for_another_alpha])
@pytest.mark.parametrize("sampling", SCHEDULES)
def test_what_is_gone_on_with_is_what_is_counted_at_once(
    before: Callable[[RunImages, SampledProcedure], None],
    sampling: Sampling,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = shutil.copytree(folder, tmp_path / "whole")
    images, same = (run_images(RunFolder(path), limit=12) for path in (folder, whole))
    procedure = SampledProcedure(20, 400, sampling)
    before(images, procedure)
    found, expected = (certify_images(some, procedure) for some in (images, same))
    assert_same_votes(found.certification.tally, expected.certification.tally)
    np.testing.assert_array_equal(found.certification.radius, expected.certification.radius)
    assert found.num_unfinished == 0
    assert len(parts(folder)) == 2  # one for each stage
    no_network(monkeypatch)
    certify_images(images, procedure)


def test_the_ways_of_sampling_are_those_that_commands_offer() -> None:
    assert get_args(Sampling) == tuple(SCHEDULES)
