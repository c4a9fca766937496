"""Files that come from others: what they cannot make sparsecert do."""

from __future__ import annotations

import io
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import EpsImagePlugin, Image

from sparsecert import data, files
from sparsecert.cli.options import console, print_error
from sparsecert.data.folder import files_of_splits
from sparsecert.errors import InputError, RunFolderError
from sparsecert.runs.folder import RunFolder
from sparsecert.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from sparsecert.votes.store import Stored, TallySettings, TallyStore
from tests.helpers.commands import SMALL, Fails, parts, read_json, run
from tests.helpers.training import noise_images
from tests.helpers.votes import store_for

# Data folders

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def picture(side: int = 8, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, kind)
    return buffer.getvalue()


def image_folder(path: Path, content: bytes, side: int = 8, name: str = "1.png") -> Path:
    """Two classes of one image in each split; one of the test images has this content."""
    for split in ("train", "test"):
        for label in ("no", "yes"):
            file = path / split / label / "0.png"
            file.parent.mkdir(parents=True)
            file.write_bytes(picture(side))
    (path / "test" / "no" / name).write_bytes(content)
    return path


def parquet_of(path: Path, images: list[dict[str, Any]]) -> None:
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(2))
    labels = np.arange(len(images)) % 2
    table = pa.table({"image": images, "label": labels}, schema=features.arrow_schema)
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that Pillow would have started."""
    started: list[str] = []

    def start(*_: Any, **__: Any) -> Any:
        started.append("Ghostscript")
        return Image.new("RGB", (8, 8)).im

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    return started


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("side", [8, 200])
@pytest.mark.parametrize("name", ["1.png", "1.eps"])
def test_no_image_starts_a_program(
    tmp_path: Path, no_program: list[str], side: int, name: str
) -> None:
    folder = image_folder(tmp_path / "images", POSTSCRIPT, side, name)
    with pytest.raises(InputError, match=rf"{name} is truncated or not an image, of PNG, JPEG"):
        data.load(str(folder), "test").batch([0, 1, 2])
    assert not no_program


@pytest.mark.usefixtures("own_cache")
def test_no_image_in_a_table_starts_a_program(tmp_path: Path, no_program: list[str]) -> None:
    rows: list[dict[str, Any]] = [{"bytes": picture(), "path": None}]
    rows.append({"bytes": POSTSCRIPT, "path": "1.png"})
    for split in ("train", "test"):
        parquet_of(tmp_path / "table" / f"{split}.parquet", rows)
    with pytest.raises(InputError, match=r"1.png is truncated or not an image"):
        data.load(str(tmp_path / "table"), "test")
    assert not no_program


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "gif", "webp", "tiff", "ppm"])
def test_the_usual_formats_are_read(tmp_path: Path, kind: str) -> None:
    folder = image_folder(tmp_path / "images", picture(kind=kind), name=f"1.{kind}")
    assert len(data.load(str(folder), "test")) == 3


@pytest.mark.usefixtures("own_cache")
def test_a_card_does_not_decide_which_files_are_read(tmp_path: Path) -> None:
    private, folder = tmp_path / "private.csv", tmp_path / "table"
    private.write_text("x,label\n7,0\n9,1\n")
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.csv").write_text("x,label\n0,0\n1,1\n")
    entries = "".join(f"  - split: {s}\n    path: {private}\n" for s in ("train", "test"))
    card = f"configs:\n- config_name: default\n  data_files:\n{entries}"
    (folder / "README.md").write_text(f"---\n{card}---\n")
    (folder / ".huggingface.yaml").write_text(card)
    (folder / "table.py").write_text("raise SystemExit('a script')")
    ends = data.FeatureRange((0.0,), (1.0,), ("x",))
    assert data.load(str(folder), "test").feature_range == ends


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, what: str) -> None:
    folder = image_folder(tmp_path / "images", picture())
    target = tmp_path / "private"
    if what == "folder":
        target.mkdir()
    else:
        target.write_bytes(picture())
    (folder / "test" / "yes" / "2.png").symlink_to(target)
    with pytest.raises(
        InputError, match=rf"inside .*images, got .*2.png, a link to {target}; copy"
    ):
        data.load(str(folder), "test")


@pytest.mark.usefixtures("own_cache")
def test_paths_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    private = tmp_path / "private.png"
    private.write_bytes(picture())
    for split in ("train", "test"):
        rows = [{"bytes": None, "path": str(private)}] * 2
        parquet_of(tmp_path / "table" / f"{split}.parquet", rows)
    with pytest.raises(InputError, match=f"expected image files inside .*table, got {private}"):
        data.load(str(tmp_path / "table"), "test")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002.csv", "train-00001-of-00002.csv", "test-00000-of-00001.csv"],
        ["data/train-00000-of-00001.csv", "data/test_x-00000-of-00001.csv", "data/notes.csv"],
        ["train/b.csv", "train/a.csv", "val/a.csv", "extra.csv", "my test/c.csv"],
        ["all.csv", "contest.csv"],
        ["x_train.csv", "dev.1.csv", "sub/TEST.csv", "__old/test.csv", ".hidden/test.csv"],
    ],
)
def test_files_are_found_as_datasets_finds_them(tmp_path: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = tmp_path / "table" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x,label\n{number},0\n")
    builder, found = files_of_splits(tmp_path / "table")
    rows = {
        split: [int(path.read_text()[8:-3]) for path in paths] for split, paths in found.items()
    }
    expected = datasets.load_dataset(str(tmp_path / "table"))
    assert (builder, rows) == ("csv", {split: expected[split]["x"][:] for split in expected})


@pytest.mark.usefixtures("own_cache")
def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "table [1]*"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}-?.csv").write_text("x,label\n0,0\n1,1\n")
    assert len(data.load(str(folder), "test")) == 2
    (folder / "file::test.csv").touch()
    with pytest.raises(InputError, match="without '::'"):
        data.load(str(folder), "test")


# What commands say


def test_a_command_says_which_data_a_run_makes_it_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, name = tmp_path / "run", noise_images(tmp_path / "x.npz", 8, 8)
    run("train", "--data", name, "--retained", 9, "--epochs", 1, "--out", folder)
    small = ["--num-samples", 20]
    said = f"reading the test split of {name}, as {folder} says; --data chooses another"
    commands: list[list[Any]] = [
        ["certify", folder, *small, "--num-selection", 5],
        ["predict", folder, *small],
        ["attack", folder, *small, "--limit", 1, "--num-search", 20, "--budget", 1],
    ]
    for command in commands:
        capsys.readouterr()
        run(*command)
        assert said in " ".join(capsys.readouterr().err.split())
        run(*command, "--data", name)
        assert "reading" not in capsys.readouterr().err
    run("report", folder)
    assert said[: -len("; --data chooses another")] in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\u202e", "\b"])
def test_names_do_not_control_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from sparsecert.report.tables import terminal_table

    console.print(terminal_table(text, [(f"a{text}b", text)]))
    console.print(f"path {text}", soft_wrap=True)
    print_error(f"class {text}")
    for printed in capsys.readouterr():
        assert text[0] not in printed.replace("\r\n", "\n")
        assert text.encode("unicode_escape").decode() in printed


# Parts


def settings() -> TallySettings:
    return TallySettings("model", "data", 0, "estimation", 600)


def append(store: Any, under: Any, images: int = 30) -> Path:
    """A part of votes of 600 ballots on 3 classes; returns its path."""
    from sparsecert import Tally

    before = set(store.folder.glob("*.parquet"))
    counts = np.random.default_rng(0).multinomial(600, [0.5, 0.3, 0.2], images)
    store.append(under, [Stored(np.arange(images), np.full(images, 0.5), Tally(counts))])
    (path,) = set(store.folder.glob("*.parquet")) - before
    return Path(path)


def rewritten(path: Path, table: pa.Table, **options: Any) -> None:
    """A part with other columns."""
    pq.write_table(table.replace_schema_metadata(pq.read_schema(path).metadata), path, **options)


def test_a_part_that_would_fill_the_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TallyStore(tmp_path, 3, num_images=1_000)
    path = append(store, settings())
    rows = 2_000_000
    zeros = pa.array(np.zeros(3 * rows, dtype=np.int64))
    columns = {
        "index": np.zeros(rows, dtype=np.int64),
        "seconds": np.zeros(rows),
        "first_choice": pa.FixedSizeListArray.from_arrays(zeros, 3),
    }
    rewritten(path, pa.table(columns))
    assert path.stat().st_size < 100_000 < 50_000_000 < pa.table(columns).nbytes

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(pq.ParquetFile, "read", read)
    with pytest.raises(RunFolderError, match="at most 1000 rows, one for each image, got 2000000"):
        store.read(settings())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("first_choice", [[1] * 4_000] * 30),
        ("more", [1.0] * 30),
        ("seconds", ["x" * 1_000] * 30),
        ("seconds", [[[1.0]]] * 30),
    ],
)
def test_columns_that_the_settings_do_not_have_are_not_read(
    tmp_path: Path, name: str, values: list[Any]
) -> None:
    store = TallyStore(tmp_path, 3)
    path = append(store, settings())
    columns = {**{key: pq.read_table(path)[key] for key in pq.read_schema(path).names}}
    kind = pa.list_(pa.int64(), 4_000) if name == "first_choice" else None
    rewritten(path, pa.table(columns | {name: pa.array(values, kind)}))
    with pytest.raises(RunFolderError, match=f"expected no column {name} of type"):
        store.read(settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [("index", -1), ("index", 1_000), ("index", 7), ("seconds", np.nan), ("seconds", np.inf)],
)
def test_images_that_cannot_be_are_refused(tmp_path: Path, name: str, value: float) -> None:
    store = TallyStore(tmp_path, 3, num_images=1_000)
    path = append(store, settings())
    table = pq.read_table(path)
    changed = table[name].to_numpy().copy()
    changed[3] = value
    at = table.schema.get_field_index(name)
    rewritten(path, table.set_column(at, name, pa.array(changed)))
    with pytest.raises(RunFolderError, match="holds numbers that cannot be"):
        store.read(settings())


@pytest.mark.parametrize("kind", ["fixed", "sequential"])
def test_no_flipped_bit_changes_a_count(tmp_path: Path, kind: str) -> None:
    from sparsecert import Tally

    store, under = store_for(kind, tmp_path, 3, 110 if kind == "sequential" else 600)
    total = 110 if kind == "sequential" else 600
    counts = np.random.default_rng(0).multinomial(total, [0.5, 0.3, 0.2], 30)
    tally = Tally(counts) if under.looks is None else Tally(counts[:, None], looks=under.looks)
    store.append(under, [Stored(np.arange(30), np.full(30, 0.5), tally)])
    (path,) = tmp_path.glob("*.parquet")
    original, refused = path.read_bytes(), 0
    for bit in np.random.default_rng(1).permutation(8 * len(original))[:300]:
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        try:
            read = store.read(under)
        except RunFolderError:
            refused += 1
            continue
        if len(read.indices):  # else it says of itself that it is of another procedure
            np.testing.assert_array_equal(read.indices, np.arange(30))
            np.testing.assert_array_equal(read.votes.first_choice, tally.first_choice)
            assert (read.seconds == 0.5).all()
    assert refused > 100


def test_a_part_without_checksums_is_read(tmp_path: Path) -> None:
    store = TallyStore(tmp_path, 3)
    path = append(store, settings())
    expected = store.read(settings())
    rewritten(path, pq.read_table(path), write_page_checksum=False)
    read = store.read(settings())
    np.testing.assert_array_equal(read.votes.first_choice, expected.votes.first_choice)


# Several processes, and killed ones


def test_parts_that_another_process_merges_meanwhile_are_read_where_they_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and reading, twice."""
    from sparsecert import Tally

    store, other = TallyStore(tmp_path, 3), TallyStore(tmp_path, 3)
    counts = np.random.default_rng(0).multinomial(600, [0.5, 0.3, 0.2], 40)
    for start in range(0, 40, 10):
        rows = np.arange(start, start + 10)
        store.append(settings(), [Stored(rows, np.full(10, 0.5), Tally(counts[rows]))])
    open_file, opened = pq.ParquetFile.__init__, 0

    def merge_first(*arguments: Any, **options: Any) -> None:
        nonlocal opened
        opened += 1
        if opened in (2, 3):
            monkeypatch.setattr(pq.ParquetFile, "__init__", open_file)
            if opened == 3:
                append(other, settings())
            other.compact(settings())
            monkeypatch.setattr(pq.ParquetFile, "__init__", merge_first)
        open_file(*arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "__init__", merge_first)
    read = store.read(settings())
    assert opened >= 3
    assert read.indices.tolist() == list(range(40))


def test_a_link_to_nothing_is_no_part(tmp_path: Path) -> None:
    (tmp_path / "estimation-0000000-abcd.parquet").symlink_to(tmp_path / "gone")
    with pytest.raises(RunFolderError, match="not sparsecert's"):
        TallyStore(tmp_path, 3).read(settings())


def test_parts_that_a_kill_left_unmerged_are_merged(folder: Path) -> None:
    for limit in (10, 20):
        run("certify", folder, *SMALL, "--limit", limit)
    (part,) = parts(folder, "estimation-*.parquet")
    table = pq.read_table(part)
    for number, rows in enumerate((table.slice(0, 7), table.slice(7))):
        pq.write_table(rows, part.with_name(f"estimation-000000{number}-0.parquet"))
    part.unlink()
    run("certify", folder, *SMALL, "--limit", 20)
    (merged,) = parts(folder, "estimation-*.parquet")
    assert pq.read_table(merged).num_rows == 20


def test_what_is_merged_is_not_read_to_be_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TallyStore(tmp_path, 3)
    path = append(store, settings())
    append(store, TallySettings("model", "data", 1, "estimation", 600))
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    store.compact(settings())
    assert path.exists()


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    old = time.time() - 3600
    left = tmp_path / ".record.json.0123abcd.partial"
    kept = [
        tmp_path / ".record.json.89abcdef.partial",  # its writer is at work
        tmp_path / ".film.partial",  # somebody else's
        tmp_path / "report.0123abcd.partial",
    ]
    for path in (left, *kept):
        path.touch()
    for path in (left, *kept[1:]):
        os.utime(path, (old, old))
    files.write_text(tmp_path / "record.json", "{}")
    assert not left.exists()
    assert all(path.exists() for path in kept)


def test_a_rename_is_made_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(is_folder)
        assert (tmp_path / "a").exists() == is_folder
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    files.write_text(tmp_path / "a", "x")
    assert synced == [False, True]


def test_whether_a_file_can_be_written_may_be_asked_by_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Path.touch

    def and_ask(path: Path, *arguments: Any) -> None:
        touch(path)
        monkeypatch.setattr(Path, "touch", touch)
        files.check_writable(tmp_path / "a")

    monkeypatch.setattr(Path, "touch", and_ask)
    files.check_writable(tmp_path / "a")
    assert not list(tmp_path.iterdir())


# Configurations and weights


def changed(folder: Path, **values: Any) -> RunFolder:
    """The run with another configuration; a value in a recipe by a name with two underscores."""
    path = folder / "config.json"
    config = read_json(path)
    for name, value in values.items():
        inside, _, key = name.rpartition("__")
        (config[inside] if inside else config)[key] = value
    path.write_text(json.dumps(config))
    return RunFolder(folder)


HUGE = 10**12


@pytest.mark.parametrize(
    "values",
    [
        {"input_shape": [1, HUGE, HUGE], "num_features": HUGE**2},
        {"input_shape": [HUGE], "num_features": HUGE},
        {"input_shape": [10**7], "num_features": 10**7, "num_retained": 5 * 10**6}
        | {"recipe__objective": "radius", "recipe__radius": 1},
        {"input_shape": []},
        {"input_shape": [0, 8, 8]},
        {"input_shape": [8, 8]},
        {"class_names": []},
        {"class_names": ["a"] * 100_000},
        {"class_names": "0123456789"},
        {"design": "partition", "num_sets": 60, "copies": HUGE, "layout": "random"},
        {"design": "partition", "num_sets": 10**6, "num_features": 10**6, "input_shape": [10**6]},
        {"design": "partition", "num_sets": 1, "copies": 10**6, "layout": "random"},
        {"recipe__epochs": HUGE},
        {"recipe__batch_size": HUGE},
        {"recipe__masks_per_example": HUGE},
        {"recipe__learning_rate": float("inf")},
        {"recipe__optimizer": "none"},
        {"recipe__drops": 0.5},
        {"recipe__more": 1},
        {"recipe": [1]},
        {"seed": "0"},
        {"seed": True},
        {"seed": 10**400},
        {"num_retained": 12.5},
        {"design": ["uniform"]},
        {"design": "lee2019", "keep_probability": "x", "num_values": 2},
        {"encoding_mean": [0.5, float("nan")]},
        {"encoding_mean": [0.5] * 5},
        {"feature_range": {"low": [0.0], "high": []}},
        {"start": {"path": 1}},
        {"width": 10**9, "architecture": "subset-ensemble"},
    ],
    ids=lambda values: " ".join(values),
)
def test_a_configuration_that_no_run_has_ends_in_a_sentence(
    folder: Path, values: dict[str, Any]
) -> None:
    started = time.process_time()
    with pytest.raises(RunFolderError, match=r"config.json is damaged or unreadable: .*expected"):
        _ = changed(folder, **values).config
    # Seconds of a slow processor; what these numbers ask for would take minutes.
    assert time.process_time() - started < 10


def test_a_network_larger_than_its_weights_is_not_built(folder: Path) -> None:
    """2 500 000 x 2 inputs for 512 neurons would take 10 GB."""
    shape = {"input_shape": [2_500_000], "num_features": 2_500_000}
    broken = changed(folder, **shape)
    with pytest.raises(RunFolderError, match=r"does not fit config.json"):
        broken.load_model()


@pytest.mark.parametrize("name", ["config.json", "record.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "1e999", "\ud800", ""])
def test_json_that_is_no_object_ends_in_a_sentence(
    folder: Path, fails: Fails, name: str, content: str
) -> None:
    (folder / name).write_text(content, errors="surrogatepass")
    fails(f"{name} is damaged", "report", folder)


def test_a_pipe_in_the_place_of_a_configuration_is_not_waited_for(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(RunFolderError, match="it is no file"):
        _ = RunFolder(folder).config


@pytest.mark.parametrize("name", ["record.json", "tallies", "report", "attacks/greedy.json"])
def test_nothing_is_written_through_a_link_out_of_the_folder(
    folder: Path, tmp_path: Path, fails: Fails, name: str
) -> None:
    (tmp_path / "own").mkdir()
    (folder / "attacks").mkdir()
    (folder / name).symlink_to(tmp_path / "own")
    fails("inside the run folder, got a link to", "certify", folder, *SMALL, "--limit", 1)
    assert not list((tmp_path / "own").iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"rule": 5},
        {"num_images": 0},
        {"intervals": {"accuracy": []}},
        {"num_features": 10**9, "num_retained": 10**8},
        {"command": None},
        {"alpha": "0.05"},
    ],
    ids=lambda change: " ".join(change),
)
def test_a_record_that_is_none_of_this_run_ends_in_a_sentence(
    folder: Path, fails: Fails, change: dict[str, Any]
) -> None:
    run("certify", folder, *SMALL, "--limit", 5)
    path = folder / "record.json"
    path.write_text(json.dumps(read_json(path) | change))
    fails("record.json is damaged", "report", folder)


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, Callable[[], Progress]]:
    """A checkpoint, and what reads it into another network."""
    model, other = torch.nn.Linear(20, 10), torch.nn.Linear(20, 10)
    optimizers = [torch.optim.AdamW(part.parameters(), fused=True) for part in (model, other)]
    model(torch.ones(2, 20)).sum().backward()
    optimizers[0].step()
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"model": model}, optimizers[0], Progress(step=3))
    return path, lambda: load_checkpoint(path, {"model": other}, optimizers[1])


def test_no_flipped_bit_goes_into_training(
    checkpoint: tuple[Path, Callable[[], Progress]],
) -> None:
    path, load = checkpoint
    assert load() == Progress(step=3)
    original = path.read_bytes()
    for bit in np.random.default_rng(0).permutation(8 * 800)[:100] + 8 * (len(original) - 800):
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        with pytest.raises(RunFolderError, match="its checksum is another"):
            load()


def test_a_checkpoint_without_a_checksum_is_read(
    checkpoint: tuple[Path, Callable[[], Progress]],
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path, load = checkpoint
    with safe_open(path, framework="pt") as file:
        described = file.metadata()["progress"]
    save_file(load_file(path), path, metadata={"progress": described})
    assert load() == Progress(step=3)
    save_file(load_file(path), path, metadata={"progress": '{"step": "3"}'})
    with pytest.raises(RunFolderError, match="expected step as an integer"):
        load()
