"""Votes that an older sampler drew are read and certified, and never gone on with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsecert.errors import InputError
from sparsecert.procedures.procedure import RunImages
from sparsecert.procedures.run import certify_images, run_images, take_over_votes
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.runs.folder import RunFolder
from sparsecert.streams import Stage
from sparsecert.streams.samples import SAMPLER_VERSION
from sparsecert.votes.store import Stored
from tests.helpers.commands import parts, record, report, run
from tests.helpers.internals import no_network
from tests.helpers.votes import SAMPLINGS, assert_same_votes

WORDS = ["--num-selection", 20, "--num-samples", 400, "--sampling"]


def make_older(images: RunImages, procedure: SampledProcedure, *stages: Stage) -> None:
    """Mark the stored votes of these stages as the first sampler's."""
    tallies = procedure._tallies(images)
    for stage in stages:
        settings = tallies.settings(stage)
        assert settings.older is not None
        assert "sampler_version" not in settings.older.to_json()
        stored = tallies.store.read(settings)
        for path in parts(images.run.path, f"{settings.name}-[0-9]*.parquet"):
            path.unlink()
        tallies.store.append(settings.older, [stored])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_older_votes_are_certified_and_not_gone_on_with(
    sampling: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, whole = [*WORDS, sampling, "--limit", 10], tmp_path / "whole"
    run("certify", folder, *words)
    assert record(folder)["sampler_version"] == SAMPLER_VERSION == 2
    shutil.copytree(folder, whole)
    images = run_images(RunFolder(folder), limit=10)
    procedure = SampledProcedure(20, 400, sampling)  # type: ignore[arg-type]
    before = procedure.measure(images)
    make_older(images, procedure, Stage.SELECTION, Stage.ESTIMATION)
    after = procedure.measure(images)
    assert_same_votes(after.certification.tally, before.certification.tally)
    with pytest.raises(
        InputError, match=r"10 of 50 images .* older .* 40 images have none .*--seed"
    ):
        certify_images(run_images(RunFolder(folder), limit=50), procedure)
    with monkeypatch.context() as patched:
        no_network(patched)
        run("certify", folder, *words)
    assert record(folder)["sampler_version"] == 1
    report(folder)
    # Under another seed there are none, and all is new.
    run("certify", folder, *words, "--seed", 1)
    assert record(folder)["sampler_version"] == 2


def test_older_counts_that_another_alpha_would_go_on_with_get_a_sentence(folder: Path) -> None:
    images = run_images(RunFolder(folder), limit=10)
    procedure = SampledProcedure(20, 400, "sequential", alpha=0.5)
    certify_images(images, procedure)
    make_older(images, procedure, Stage.ESTIMATION)
    certify_images(images, procedure)
    assert procedure.to_record(procedure.measure(images))["sampler_version"] == 1
    strict = replace(procedure, alpha=0.001)
    with pytest.raises(InputError, match=r"estimation-sequential votes .* cannot be gone on with"):
        certify_images(images, strict)
    # Moved away, they are counted anew.
    for path in parts(folder, "estimation-sequential-*.parquet"):
        path.unlink()
    measured = certify_images(images, strict)
    assert strict.to_record(measured)["sampler_version"] == 2
    assert measured.num_unfinished == 0


def test_where_both_samplers_counted_an_image_the_newer_votes_are_read(folder: Path) -> None:
    few, many = (run_images(RunFolder(folder), limit=limit) for limit in (5, 10))
    procedure = SampledProcedure(20, 100)
    certify_images(few, procedure)
    make_older(few, procedure, Stage.SELECTION, Stage.ESTIMATION)
    tallies = procedure._tallies(many)
    settings = tallies.settings(Stage.ESTIMATION)
    old = tallies.store.read(settings)
    np.testing.assert_array_equal(old.indices, few.indices)
    # Votes on other images, to tell them apart.
    newer = Stored(old.indices[[0, 2]], old.seconds[:2], old.votes.take(np.array([1, 3])))
    tallies.store.append(settings, [newer])
    read = tallies.store.read(settings)
    np.testing.assert_array_equal(read.indices, old.indices)
    is_older = tallies.store.is_older(settings, few.indices)
    assert is_older.tolist() == [False, True, False, True, True]
    expected = old.votes.first_choice[[1, 1, 3, 3, 4]]
    assert len(np.unique(expected, axis=0)) == 3
    np.testing.assert_array_equal(read.votes.first_choice, expected)
    tallies.store.compact(settings)
    np.testing.assert_array_equal(tallies.store.read(settings).votes.first_choice, expected)


def test_older_votes_that_are_joined_with_newer_ones_stay_older(
    folder: Path, tmp_path: Path
) -> None:
    images = run_images(RunFolder(folder), limit=10)
    procedure = SampledProcedure(20, 100)
    certify_images(images, procedure)
    into = images.run.copied_to(tmp_path / "into")
    make_older(images, procedure, Stage.ESTIMATION)
    tallies = procedure._tallies(images)
    settings = tallies.settings(Stage.ESTIMATION)
    old = tallies.store.read(settings)
    tallies.store.append(settings, [old.take(np.array([0, 2]))])
    take_over_votes(images.run, into)
    joined = procedure._tallies(replace(images, run=into))
    assert_same_votes(joined.store.read(settings).votes, old.votes)
    is_older = joined.store.is_older(settings, images.indices)
    assert is_older.tolist() == [False, True, False] + 7 * [True]
