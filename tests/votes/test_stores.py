"""Votes on disk: of a fixed number of ballots, counted at several looks, and of a fixed family."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.errors import RunFolderError
from sparsecert.theory.schedule import growing_looks
from sparsecert.votes.ballots import Ballots
from sparsecert.votes.store import Stored
from sparsecert.votes.tracked_classes import NO_CLASS
from tests.helpers.classifiers import images, weighing
from tests.helpers.votes import (
    SAMPLINGS,
    all_looks_at,
    assert_same_votes,
    counted,
    looks_of,
    pairs_of,
    stopped_after,
    store_for,
)

N, CLASSES = 600, 3


class Keeping:
    """A store of one kind of votes, and votes for it."""

    def __init__(self, kind: str, folder: Path, num_classes: int = CLASSES) -> None:
        self.kind, self.folder = kind, folder
        self.store, self.settings = store_for(kind, folder, num_classes, N)

    def votes(self, *indices: int, seed: int = 0, n: int = N) -> Any:
        """Votes on these images, the same for the same image and seed."""
        rngs = [np.random.default_rng((seed, index)) for index in indices]
        if self.kind == "family":
            return Ballots.of(np.concatenate([rng.random((1, n, CLASSES)) for rng in rngs]))
        rankings = [[0, 1, 2], [1, 2, 0], [2, 1, 0]]
        each = [looks_of(rng, [0.5, 0.3, 0.2], rankings, n, 1) for rng in rngs]
        votes = sc.Tally.concatenate(each)
        return all_looks_at(votes) if self.kind == "fixed" else votes

    def append(
        self, *indices: int, settings: Any = None, votes: Any = None, **options: int
    ) -> None:
        rows, seconds = np.array(indices), np.full(len(indices), 0.5)
        votes = self.votes(*indices, **options) if votes is None else votes
        self.store.append(settings or self.settings, [Stored(rows, seconds, votes)])

    def read(self) -> Stored[Any]:
        stored: Stored[Any] = self.store.read(self.settings)
        return stored

    @property
    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*"))


@pytest.fixture(params=[*SAMPLINGS, "family"])
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> Keeping:
    return Keeping(request.param, tmp_path / "tallies")


@pytest.fixture(params=SAMPLINGS)
def sampled(request: pytest.FixtureRequest, tmp_path: Path) -> Keeping:
    return Keeping(request.param, tmp_path / "tallies")


def test_parts_add_up_in_the_order_of_the_data_set(keeping: Keeping) -> None:
    parts = [Stored(np.array(i), np.full(len(i), 0.5), keeping.votes(*i)) for i in ([7, 9], [8])]
    keeping.store.append(keeping.settings, parts)
    keeping.append(1, 2)
    for number in (2, 1):
        assert len(keeping.parts) == number
        read = keeping.read()
        assert read.indices.tolist() == [1, 2, 7, 8, 9]
        assert_same_votes(read.votes, keeping.votes(1, 2, 7, 8, 9))
        assert_same_votes(read.take(np.array([1, 3])).votes, keeping.votes(2, 8))
        assert read.seconds.tolist() == [0.5] * 5
        keeping.store.compact(keeping.settings)


def test_nothing_stored_reads_as_nothing(keeping: Keeping) -> None:
    keeping.store.append(keeping.settings, [])
    assert len(keeping.read().indices) == 0
    assert not keeping.folder.exists()


def test_votes_on_other_data_sets_are_kept_apart(keeping: Keeping) -> None:
    other = replace(keeping.settings, dataset_fingerprint="other")
    keeping.append(0)
    keeping.append(1, settings=other)
    assert keeping.read().indices.tolist() == [0]
    assert keeping.store.read(other).indices.tolist() == [1]


def test_votes_under_other_plans_are_kept_apart(sampled: Keeping) -> None:
    plans = [
        sampled.settings,
        replace(sampled.settings, seed=1),
        replace(sampled.settings, stage="selection"),
        store_for(sampled.kind, sampled.folder, CLASSES, 500)[1],
    ]
    for number, settings in enumerate(plans):
        sampled.append(number, settings=settings, n=settings.num_samples)
    for number, settings in enumerate(plans):
        assert sampled.store.read(settings).indices.tolist() == [number]
    sampled.append(9)
    sampled.store.compact(sampled.settings)
    assert len(sampled.parts) == len(plans)


def test_a_part_of_another_model_is_an_error(keeping: Keeping) -> None:
    keeping.append(0, settings=replace(keeping.settings, fingerprint="foreign"))
    (part,) = keeping.parts
    with pytest.raises(RunFolderError, match=f"{part.name} was made with another model .*foreign"):
        keeping.read()


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_part_is_an_error_that_names_it(keeping: Keeping, keep: int) -> None:
    keeping.append(0)
    (part,) = keeping.parts
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(RunFolderError, match=f"{part.name} is truncated"):
        keeping.read()


def test_a_foreign_parquet_file_is_an_error(keeping: Keeping) -> None:
    keeping.folder.mkdir()
    pq.write_table(pa.table({"a": [1]}), keeping.folder / "other.parquet")
    with pytest.raises(RunFolderError, match="not sparsecert's"):
        keeping.read()


def test_a_part_that_a_kill_left_unfinished_is_not_read(keeping: Keeping) -> None:
    keeping.folder.mkdir()
    name = ".estimation-0000000-abcd.parquet.1234.partial"
    (keeping.folder / name).write_bytes(b"PAR1")
    assert len(keeping.read().indices) == 0


def test_overlapping_parts_count_once(keeping: Keeping) -> None:
    keeping.append(1, 2)
    keeping.append(2, 3, seed=1)
    read = keeping.read()
    assert read.indices.tolist() == [1, 2, 3]
    rows = np.array([0, 2])
    assert_same_votes(read.votes.take(rows[:1]), keeping.votes(1))
    assert_same_votes(read.votes.take(rows[1:]), keeping.votes(3, seed=1))


def test_a_folder_that_cannot_be_written_to_gets_a_sentence(keeping: Keeping) -> None:
    keeping.folder.write_text("in the way")
    with pytest.raises(RunFolderError, match="choose another"):
        keeping.append(0)


def overwrite(path: Path, name: str, change: Callable[[Any], NDArray[Any]]) -> None:
    """Change a column of a part."""
    table = pq.read_table(path)
    values = change(np.stack(table[name].to_numpy()))
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("first_choice", lambda counts: counts + 1, "add up to .*600 "),
        # Class 0 is above every other on all ballots that rank it first.
        ("head_to_head", lambda wins: 0 * wins, "first choice above every other"),
    ],
)
def test_counts_that_no_ballots_give_are_an_error(
    sampled: Keeping, name: str, change: Callable[[Any], NDArray[Any]], sentence: str
) -> None:
    sampled.append(1)
    (part,) = sampled.parts
    overwrite(part, name, change)
    with pytest.raises(RunFolderError, match=f"{part.name} holds numbers that cannot be") as error:
        sampled.read()
    assert re.search(sentence, str(error.value)) or sampled.kind == "sequential"


def test_ballots_that_are_no_rankings_are_an_error(tmp_path: Path) -> None:
    keeping = Keeping("family", tmp_path)
    keeping.append(0)
    (part,) = keeping.parts
    overwrite(part, "ranks", lambda ranks: 0 * ranks)
    with pytest.raises(RunFolderError, match="rank 3 classes"):
        keeping.read()


def test_counts_of_another_number_of_classes_are_an_error(sampled: Keeping) -> None:
    sampled.append(0)
    with pytest.raises(RunFolderError, match="of 4 classes"):
        Keeping(sampled.kind, sampled.folder, num_classes=4).read()


def test_a_part_without_head_to_head_counts_is_read_and_none_are_lost(tmp_path: Path) -> None:
    keeping = Keeping("fixed", tmp_path)
    keeping.append(1)
    keeping.append(2, votes=sc.Tally(keeping.votes(2).first_choice))
    keeping.store.compact(keeping.settings)
    votes = keeping.read().votes
    assert (len(votes), votes.head_to_head) == (2, None)
    keeping.parts[1].unlink()
    assert keeping.read().votes.head_to_head is not None


def test_of_images_counted_twice_the_furthest_count_is_used(tmp_path: Path) -> None:
    keeping, rows = Keeping("sequential", tmp_path), np.arange(6)
    tally = keeping.votes(*rows)
    keeping.append(*rows)
    keeping.append(*rows[:3], votes=stopped_after(tally, 2).take(rows[:3]))
    keeping.append(7, votes=stopped_after(tally, 4).take(rows[5:]))
    for _ in range(2):
        read = keeping.read()
        assert read.indices.tolist() == [0, 1, 2, 3, 4, 5, 7]
        assert_same_votes(read.votes.take(rows), tally)
        assert read.votes.num_reached.tolist() == [len(growing_looks(N))] * 6 + [4]
        keeping.store.compact(keeping.settings)
    assert len(keeping.parts) == 1


def test_votes_of_tracked_classes_are_stored_beside_older_ones(sampled: Keeping) -> None:
    keeping, rows = Keeping(sampled.kind, sampled.folder, num_classes=40), np.arange(6)
    tally = counted(sampled.kind, weighing(40), images(), N)
    assert tally.tracked_classes is not None
    counts = tally.first_choice[:1]
    older = sc.Tally(counts, looks=tally.looks)
    keeping.append(9, votes=older)
    assert keeping.read().votes.tracked_classes is None
    for some in (rows[3:], rows[:3]):
        keeping.append(*some, votes=tally.take(some))
    for _ in range(2):
        read = keeping.read()
        assert read.indices.tolist() == [0, 1, 2, 3, 4, 5, 9]
        assert_same_votes(read.votes.take(rows), tally)
        assert (read.votes.tracked_classes[6] == NO_CLASS).all()
        np.testing.assert_array_equal(read.votes.min_pairwise_wins[6], tally.first_choice[0])
        keeping.store.compact(keeping.settings)
    assert len(keeping.parts) == 1


@pytest.mark.parametrize(
    ("kind", "shape", "most"),
    [("fixed", (8, 1_000), 32_000), ("sequential", (13, 2, 1_000), 104_000)],
)
def test_a_thousand_classes_take_seconds_and_little_room(
    kind: str, shape: tuple[int, ...], most: int, tmp_path: Path
) -> None:
    """Per image at most 32 kB, and 104 kB for 13 looks: four bytes a count, before compression."""
    count, classifier = 6, weighing(1_000)
    tally = counted(kind, classifier, images(count), 1_000)
    assert pairs_of(tally).shape == (count, *shape)
    store, settings = store_for(kind, tmp_path, 1_000, 1_000)
    store.append(settings, [Stored(np.arange(count), np.ones(count), tally)])
    (part,) = tmp_path.iterdir()
    assert part.stat().st_size < count * most
    assert pq.read_schema(part).field("head_to_head").type.list_size == np.prod(shape)
    if kind == "fixed":
        pairwise, majority = (
            sc.certify_tally(tally, tally.top, classifier.ablation, 0.05, rule)
            for rule in ("pairwise", "majority")
        )
        assert (pairwise.radius >= majority.radius).all()
        assert pairwise.radius.sum() > majority.radius.sum()
