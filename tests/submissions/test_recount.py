"""Votes that are counted again with the weights of a submission, and what is refused then."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from sparsecert.procedures.execution import LocalExecution
from sparsecert.procedures.family import FamilyProcedure
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.runs.folder import RunFolder
from sparsecert.submissions.recount import different_ballots, recount
from sparsecert.submissions.submission import Submission
from sparsecert.submissions.verify import verify
from sparsecert.votes.ballots import Ballots
from sparsecert.votes.tally import Tally
from tests.helpers.commands import Fails, Output, parts, run
from tests.helpers.submissions import (
    RECORDS,
    WORDS,
    Tamper,
    each,
    in_column,
    in_record,
    in_rows,
    in_settings,
)


@pytest.mark.parametrize("kind", list(WORDS))
def test_votes_are_counted_again_with_the_weights(
    with_weights: dict[str, Path], kind: str, output: Output
) -> None:
    verdict = verify(with_weights[kind], 3)
    assert verdict.verified, verdict.reasons
    counted = verdict.recounted
    assert counted is not None
    assert 3 <= len(counted.indices) <= 9
    assert counted.most_different == 0  # on the machine that cast them
    told = " ".join(verdict.unchecked)
    assert "the network was trained on that data" in told
    assert "votes on other images" in told
    run("verify", with_weights[kind], "--recount", 1)
    assert "counted again: images" in output()
    # Other images are drawn the next time, sooner or later.
    assert len({tuple(verify(with_weights[kind], 1).recounted.indices) for _ in range(6)}) > 1  # type: ignore[union-attr]


SHIFTED: dict[str, Tamper] = {
    kind: each(in_settings("*", seed=8), *(in_record(name, seed=8) for name in RECORDS[kind]))
    for kind in ("fixed", "sequential")
}


@pytest.mark.parametrize("kind", list(SHIFTED))
def test_votes_that_the_weights_do_not_cast_are_refused(
    with_weights: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """Votes on ablations of another seed than they say: every number follows from them."""
    path = Path(shutil.copytree(with_weights[kind], tmp_path / "submission"))
    SHIFTED[kind](path)
    assert verify(path).verified
    verdict = verify(path, 10)
    assert not verdict.verified
    assert all("as its weights cast them, got" in reason for reason in verdict.reasons)


def test_ballots_of_a_family_that_the_weights_do_not_cast_are_refused(
    with_weights: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(with_weights["family"], tmp_path / "submission"))
    verdict = verify(path)
    (part,) = parts(path, "*")
    table = pq.read_table(part)
    # Two images of one class whose ballots change places: hardly any number of a record moves.
    assert verdict.verified
    assert len(table) > 20
    rows = np.roll(np.arange(len(table)), 1)
    moved = table.take(pa.array(rows)).set_column(0, "index", table["index"])
    pq.write_table(moved.replace_schema_metadata(table.schema.metadata), part)
    submission = Submission.open(path)
    procedure = FamilyProcedure("pairwise")
    images = submission.images(verdict.records["pairwise"])
    counted = recount(submission, [(procedure, images)], 5, LocalExecution())
    assert "as its weights cast them, got" in counted.reasons[0]


def test_weights_of_another_network_are_refused(
    with_weights: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(with_weights["fixed"], tmp_path / "submission"))
    weights = load_file(path / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] + 1e-3
    save_file(weights, path / "model.safetensors")
    (reason,) = verify(path).reasons
    assert "expected weights of the model that cast the votes" in reason


def test_what_cannot_be_counted_again_is_said(
    submissions: dict[str, Path],
    with_weights: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    fails: Fails,
) -> None:
    fails("expected a submission with weights", "verify", submissions["fixed"], "--recount", 1)
    monkeypatch.setattr("sparsecert.data.is_at_hand", lambda name: False)
    fails("expected the data set digits at hand", "verify", with_weights["fixed"], "--recount", 1)


def test_a_submission_with_weights_can_be_trained_on_from(
    with_weights: dict[str, Path], tmp_path: Path
) -> None:
    start = with_weights["fixed"]
    words = ["--data", "digits", "--retained", 20, "--epochs", 0, "--start", start]
    run("train", *words, "--out", tmp_path / "run")
    ours = RunFolder.open(tmp_path / "run")
    assert ours.config.start is not None
    assert ours.config.start.seconds is not None
    assert ours.model_path.read_bytes() == (start / "model.safetensors").read_bytes()


def tally(looks: tuple[int, ...] | None, first: list, pairs: list, tracked: list | None) -> Tally:  # type: ignore[type-arg]
    """Of one image."""
    lists = None if tracked is None else np.array([tracked])
    return Tally(np.array([first]), np.array([pairs]), lists, looks)


def test_ballots_are_compared_from_look_to_look() -> None:
    """What was claimed at the first look is not made good by the truth at the last."""
    true = tally((10, 20), [[5, 5], [12, 8]], [[[0, 5], [5, 0]], [[0, 12], [8, 0]]], None)
    claimed = tally((10, 20), [[10, 0], [12, 8]], [[[0, 10], [0, 0]], [[0, 12], [8, 0]]], None)
    stopped = tally((10, 20), [[10, 0], [0, 0]], [[[0, 10], [0, 0]], [[0, 0], [0, 0]]], None)
    for theirs, ours, different, total in (
        (true, true, 0, 20),
        (claimed, true, 10, 20),
        (true, claimed, 10, 20),
        (stopped, true, 5, 10),
        (true, stopped, 5, 10),
    ):
        found = different_ballots(theirs, ours)
        assert [each.item() for each in found] == [different, total]


def test_ballots_of_tracked_classes_are_compared_by_class() -> None:
    first = [6, 3, 1]
    true = tally(None, first, [[0, 7, 8], [3, 0, 7]], [0, 1])
    for pairs, tracked, different in (
        ([[3, 0, 7], [0, 7, 8]], [1, 0], 0),  # in another order
        ([[0, 7, 8], [0, 0, 0]], [0, -1], 0),  # fewer
        ([[0, 7, 8], [2, 3, 0]], [0, 2], 10),  # one that nothing says anything about
        ([[0, 7, 9], [3, 0, 7]], [0, 1], 1),
    ):
        claimed = tally(None, first, pairs, tracked)
        assert [each.item() for each in different_ballots(claimed, true)] == [different, 10]


def test_probabilities_are_compared_where_they_are_claimed() -> None:
    true = Ballots.of(np.log([[[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]]]))
    steps = true.steps.copy()
    steps[0, 1, 2] -= 2
    for steps_apart, different in ((0, 1), (1, 1), (2, 0)):
        found = different_ballots(Ballots(true.ranks, steps), true, steps_apart)
        assert [each.item() for each in found] == [different, 2]
    assert different_ballots(true.without_probabilities, true)[0].item() == 0


@pytest.mark.parametrize(("part_of", "target"), [("before the last", None), ("the last", 0)])
def test_invented_looks_are_refused(
    with_weights: dict[str, Path], tmp_path: Path, part_of: str, target: int | None
) -> None:
    """First choices for the correct class: before a true last look, or after a true first one.

    The latter also where those that decide the target would be counted less far.
    """
    path = Path(shutil.copytree(with_weights["sequential"], tmp_path / "submission"))
    submission = Submission.open(path)
    (images,) = (submission.images(r) for r in verify(path).records.values())
    (part,) = parts(path, "estimation-*")
    table = pq.read_table(part)
    looks = json.loads(table.schema.metadata[b"sparsecert"])["looks"]
    targets = dict(zip(images.indices.tolist(), images.targets.tolist(), strict=True))
    index = table["index"].to_numpy()

    def invent(counts: NDArray[np.int64]) -> None:
        by_look = counts.reshape(len(counts), len(looks), -1)
        for row, image in zip(by_look, index.tolist(), strict=True):
            last, correct = int((row.sum(axis=1) > 0).sum()) - 1, targets[image]
            if part_of == "the last":
                row[1 : last + 1] = row[0]
                row[1 : last + 1, correct] += np.array(looks)[1 : last + 1] - looks[0]
                continue
            for look in range(last):
                left, others = looks[look], row[last].copy()
                for each_class in sorted(range(len(others)), key=lambda c: c != correct):
                    row[look, each_class] = min(left, others[each_class])
                    left -= row[look, each_class]

    in_rows(lambda rows: rows.drop_columns("head_to_head"))(path)
    in_column("first_choice", invent)(path)
    procedure = SampledProcedure(40, 400, "sequential", rule="majority", target=target)
    procedure.measure(replace(images, run=Submission.open(path).run))  # by first choices alone
    counted = recount(submission, [(procedure, images)], len(images.indices), LocalExecution())
    assert any("as its weights cast them, got" in reason for reason in counted.reasons)
    claimed = sum(
        submission.store.read(settings).votes.num_samples.sum()
        for settings in procedure.votes_settings(images)
    )
    assert counted.num_ballots == claimed  # all of them


def test_few_ballots_moved_on_every_image_are_refused(
    with_weights: dict[str, Path], tmp_path: Path
) -> None:
    """Each image by no more than may be; all of them together by more."""
    path = Path(shutil.copytree(with_weights["family"], tmp_path / "submission"))
    procedure = FamilyProcedure("pairwise")
    images = Submission.open(path).images(verify(path).records["pairwise"])

    def turn(ranks: NDArray[np.uint8]) -> None:
        ranks[:, :10] = 9 - ranks[:, :10]  # the first of 36 ballots

    in_column("ranks", turn, "*")(path)
    in_column("probabilities", lambda steps: steps[:, :10].fill(25), "*")(path)
    counted = recount(Submission.open(path), [(procedure, images)], 40, LocalExecution())
    assert counted.num_different == 40
    assert counted.reasons == (
        "expected the ballots votes on the 40 images that were counted again as its weights cast "
        "them, got 40 of 1,440 others",
    )


def test_images_are_drawn_of_every_record(with_weights: dict[str, Path]) -> None:
    """A record on one image does not stand for another on many."""
    submission = Submission.open(with_weights["family"])
    images = submission.images(verify(with_weights["family"]).records["pairwise"])
    procedure = FamilyProcedure("pairwise")
    read = [(procedure, images.take(np.array([0]))), (procedure, images)]
    counted = recount(submission, read, 5, LocalExecution())
    assert len(counted.indices) >= 5


def test_one_that_cannot_be_counted_again_does_not_hide_the_others(
    submissions: dict[str, Path], with_weights: dict[str, Path], fails: Fails, output: Output
) -> None:
    words = ["verify", submissions["fixed"], with_weights["fixed"], "--recount", 1]
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 2
    told = output()
    assert "verified" in told
    assert str(with_weights["fixed"]) in told
