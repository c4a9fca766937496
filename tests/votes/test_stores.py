from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from sparsecert.errors import RunFolderError
from sparsecert.votes.parquet import write_part
from sparsecert.votes.store import Stored
from sparsecert.votes.tally import Tally
from sparsecert.votes.tally_store import TallySettings, TallyStore

SETTINGS = TallySettings("model", "data", seed=0, stage="estimation", num_samples=100)


def stored(*indices: int, votes: int = 60) -> Stored[Tally]:
    counts = [[votes, 100 - votes - i % 3, i % 3] for i in indices]
    return Stored(np.array(indices), np.full(len(indices), 0.5), Tally(np.array(counts)))


def test_parts_add_up_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    store = TallyStore(tmp_path / "tallies", 3)
    store.append(SETTINGS, [stored(7, 9), stored(8)])
    store.append(SETTINGS, [stored(1, 2)])
    read = store.read(SETTINGS)
    assert read.indices.tolist() == [1, 2, 7, 8, 9]
    np.testing.assert_array_equal(read.votes.first_choice, stored(1, 2, 7, 8, 9).votes.first_choice)
    assert read.seconds.tolist() == [0.5] * 5


def test_nothing_stored_reads_as_nothing(tmp_path: Path) -> None:
    store = TallyStore(tmp_path / "missing", 3)
    store.append(SETTINGS, [])
    assert len(store.read(SETTINGS).votes) == 0
    assert not (tmp_path / "missing").exists()


def test_other_plans_and_data_sets_are_kept_apart(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    others = [
        replace(SETTINGS, seed=1),
        replace(SETTINGS, stage="selection"),
        replace(SETTINGS, num_samples=200),
        replace(SETTINGS, dataset_fingerprint="other"),
    ]
    for number, settings in enumerate([SETTINGS, *others]):
        counts = stored(number).votes.first_choice * settings.num_samples // 100
        store.append(settings, [replace(stored(number), votes=Tally(counts))])
    for number, settings in enumerate([SETTINGS, *others]):
        assert store.read(settings).indices.tolist() == [number]


def test_a_part_of_another_model_is_an_error(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    store.append(replace(SETTINGS, fingerprint="foreign"), [stored(0)])
    with pytest.raises(RunFolderError, match=r"another model .*foreign"):
        store.read(SETTINGS)


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_part_is_an_error_that_names_it(tmp_path: Path, keep: int) -> None:
    store = TallyStore(tmp_path, 3)
    store.append(SETTINGS, [stored(0)])
    (part,) = tmp_path.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(RunFolderError, match=f"{part.name} is truncated"):
        store.read(SETTINGS)


def test_a_foreign_parquet_file_is_an_error(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(RunFolderError, match="not sparsecert's"):
        TallyStore(tmp_path, 3).read(SETTINGS)


def test_a_part_that_a_kill_left_unfinished_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".estimation-0000000-abcd.parquet.1234.partial").write_bytes(b"PAR1")
    assert len(TallyStore(tmp_path, 3).read(SETTINGS).votes) == 0


def test_compaction_keeps_every_count_and_no_other_part(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    for index in (4, 2, 9):
        store.append(SETTINGS, [stored(index)])
    store.append(replace(SETTINGS, seed=1), [stored(0)])
    before = store.read(SETTINGS)
    store.compact(SETTINGS)
    after = store.read(SETTINGS)
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    np.testing.assert_array_equal(after.indices, before.indices)
    np.testing.assert_array_equal(after.votes.first_choice, before.votes.first_choice)


def test_overlapping_parts_count_once(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    store.append(SETTINGS, [stored(1, 2)])
    store.append(SETTINGS, [stored(2, 3, votes=50)])
    read = store.read(SETTINGS)
    assert read.indices.tolist() == [1, 2, 3]
    assert read.votes.num_samples.tolist() == [100] * 3


def test_counts_that_do_not_add_up_are_an_error(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    twice = Stored(np.array([0]), np.array([0.5]), Tally(np.array([[150, 50, 0]])))
    store.append(SETTINGS, [twice])
    with pytest.raises(RunFolderError, match="add up to 100 votes"):
        store.read(SETTINGS)
    TallyStore(tmp_path / "wide", 3).append(SETTINGS, [stored(0)])
    with pytest.raises(RunFolderError, match="in 4 classes"):
        TallyStore(tmp_path / "wide", 4).read(SETTINGS)


def test_a_folder_that_cannot_be_written_to_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = TallyStore(tmp_path / "file" / "tallies", 3)
    with pytest.raises(RunFolderError, match="choose another"):
        store.append(SETTINGS, [stored(0)])


def ranked(*indices: int) -> Stored[Tally]:
    """As `stored`, with head-to-head counts."""
    part = stored(*indices)
    first = part.votes.first_choice
    pairs = np.zeros((len(indices), 3, 3), dtype=np.int64)
    smaller, larger = np.triu_indices(3, k=1)
    pairs[:, smaller, larger] = first[:, smaller] + np.arange(3) % 2
    pairs[:, larger, smaller] = 100 - pairs[:, smaller, larger]
    return replace(part, votes=Tally(first, pairs))


def test_head_to_head_counts_are_kept(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    store.append(SETTINGS, [ranked(4, 2), ranked(9)])
    store.append(SETTINGS, [ranked(5)])
    for _ in range(2):
        read = store.read(SETTINGS)
        np.testing.assert_array_equal(
            read.votes.head_to_head, ranked(2, 4, 5, 9).votes.head_to_head
        )
        some = read.take(np.array([1, 3]))
        np.testing.assert_array_equal(some.votes.head_to_head, ranked(4, 9).votes.head_to_head)
        store.compact(SETTINGS)
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_part_without_head_to_head_counts_is_read_and_none_are_lost(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    store.append(SETTINGS, [ranked(1)])
    store.append(SETTINGS, [stored(2)])
    store.compact(SETTINGS)
    tally = store.read(SETTINGS).votes
    assert (len(tally), tally.head_to_head) == (2, None)
    (old,) = (path for path in tmp_path.glob("*0000002*"))
    old.unlink()
    assert store.read(SETTINGS).votes.head_to_head is not None


def test_head_to_head_counts_that_no_votes_give_are_an_error(tmp_path: Path) -> None:
    columns = {
        "index": np.array([1]),
        "seconds": np.ones(1),
        "first_choice": np.array([[60, 39, 1]]),
        "head_to_head": np.array([[10, 99, 90]]),  # class 0 is above class 1 on 60 ballots or more
    }
    write_part(tmp_path, SETTINGS.stage, 1, columns, asdict(SETTINGS))
    with pytest.raises(RunFolderError, match="numbers that cannot be"):
        TallyStore(tmp_path, 3).read(SETTINGS)
