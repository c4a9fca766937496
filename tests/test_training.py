from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from scipy.stats import chisquare

from sparsecert import UniformAblation, data, models
from sparsecert.data import Dataset
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.designs.partitions import Partitions
from sparsecert.errors import InputError, RunFolderError
from sparsecert.procedures.procedure import Procedure, certify_run
from sparsecert.procedures.sampled import SamplingPlan
from sparsecert.records.record import classifier_values, make_record, write_record
from sparsecert.report.page import write_report
from sparsecert.runs import train as run_training
from sparsecert.runs.config import RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train, train_run
from sparsecert.smoothing.encoding import TwoChannelEncoding
from sparsecert.streams import Stage, stream
from sparsecert.training import checkpoint
from sparsecert.training.batches import Batches, masks_of_many_sizes
from sparsecert.training.fit import Training, fit, seeded
from sparsecert.training.recipes import Recipe, recipe_for

MNIST = (1, 28, 28)


def config(**changes: object) -> RunConfig:
    dataset = data.load("digits", "train")
    default = RunConfig(
        dataset="digits",
        train_fingerprint=dataset.fingerprint(),
        input_shape=dataset.input_shape,
        class_names=dataset.class_names,
        feature_range=None,
        architecture="mlp",
        design=UniformAblation(64, 12),
        encoding="two-channel",
        encoding_mean=None,
        encoding_std=None,
        recipe=replace(recipe_for("fast", MNIST), epochs=3, augmentation="crop-flip"),
        seed=0,
    )
    return replace(default, **changes)  # type: ignore[arg-type]


def trained(path: Path, settings: RunConfig) -> RunFolder:
    run = RunFolder.create(path, settings)
    train(run, data.load("digits", "train"))
    return run


def batches(settings: RunConfig, dataset: Dataset) -> Batches:
    """Those of a run, on the CPU."""
    return Batches(
        dataset,
        settings.design,
        settings.build_encoding(),
        settings.recipe,
        settings.seed,
        Accelerator(cpu=True),
    )


def log(run: RunFolder) -> list[dict[str, float]]:
    return [json.loads(line) for line in run.log_path.read_text().splitlines()]


@pytest.mark.parametrize(("recipe", "epochs"), [("fast", 12), ("paper", 40)])
def test_learns_and_repeats_itself(tmp_path: Path, recipe: str, epochs: int) -> None:
    settings = config(recipe=replace(recipe_for(recipe, (64,)), epochs=epochs))
    one, other = (trained(tmp_path / name, settings) for name in ("one", "other"))
    assert one.model_path.read_bytes() == other.model_path.read_bytes()
    lines = log(one)
    assert [line["epoch"] for line in lines] == list(range(1, epochs + 1))
    assert lines[-1]["loss"] < 0.98 * lines[0]["loss"]
    assert lines[-1]["ablated_accuracy"] > max(0.15, lines[0]["ablated_accuracy"])
    assert not one.checkpoint_path.exists()
    different = trained(tmp_path / "different", replace(settings, seed=1))
    assert different.model_path.read_bytes() != one.model_path.read_bytes()


def test_training_needs_no_folder(tmp_path: Path) -> None:
    """And leaves torch's own random numbers alone."""
    settings, dataset = config(), data.load("digits", "train")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(settings.seed):
        model = settings.build_model()
    encoding = settings.build_encoding()
    fitted = fit(model, dataset, settings.design, encoding, settings.recipe, settings.seed)
    assert torch.equal(torch.rand(3), expected)
    assert fitted is model
    assert not model.training
    in_folder = trained(tmp_path / "run", settings).load_model().state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, in_folder[name])


@pytest.mark.parametrize("steps", [7, 10])  # in an epoch, between two
def test_stopped_and_resumed_training_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    whole = trained(tmp_path / "whole", config())
    monkeypatch.setattr(run_training, "CHECKPOINT_SECONDS", 0.0)
    save, saved = Training.save, 0

    class CutOffError(Exception):
        pass

    def save_and_stop(training: Training, path: Path) -> None:
        nonlocal saved
        save(training, path)
        saved += 1
        if saved == steps:
            raise CutOffError

    monkeypatch.setattr(Training, "save", save_and_stop)
    with pytest.raises(CutOffError):
        trained(tmp_path / "cut", config())
    cut = RunFolder(tmp_path / "cut")
    assert not cut.is_trained
    with cut.log_path.open("a") as file:  # as if killed after logging, before the checkpoint
        file.write('{"epoch": 9, "step": 90, "loss": 9.9}\n{"epo')
    trained(tmp_path / "cut", config())
    assert cut.model_path.read_bytes() == whole.model_path.read_bytes()
    without_time = [{k: v for k, v in line.items() if k != "seconds"} for line in log(cut)]
    assert without_time == [
        {k: v for k, v in line.items() if k != "seconds"} for line in log(whole)
    ]


def test_resumed_training_pairs_weights_with_their_moments(tmp_path: Path) -> None:
    """Also where weights lie in memory in another order than in the file."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(32, 3, 16, 16), dtype=np.uint8)
    dataset = Dataset("x", "train", images, np.arange(32) % 2, ("a", "b"))
    recipe = replace(recipe_for("fast", (3, 16, 16)), epochs=3, batch_size=16, precision="float32")

    def training() -> Training:
        with seeded(0):
            model = models.build("interpolating-resnet", (6, 16, 16), 2)
        return Training(model, dataset, UniformAblation(256, 60), TwoChannelEncoding(), recipe, 0)

    whole, cut, resumed = training(), training(), training()
    for _ in whole:
        pass
    for state in cut:
        if state.step == 3:
            break
    cut.save(tmp_path / "checkpoint")
    resumed.resume(tmp_path / "checkpoint")
    assert [state.step for state in resumed] == [4, 5, 6]
    weights = resumed.model.state_dict()
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weights[name], weight), name


def test_a_run_goes_on_with_as_many_processes(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", config())
    model = config().build_model()
    optimizer = config().recipe.build_optimizer(model)
    state = checkpoint.Progress(step=3, num_processes=2)
    checkpoint.save_checkpoint(run.checkpoint_path, model, optimizer, state)
    with pytest.raises(RunFolderError, match="begun with 2 processes; go on with as many, not 1"):
        trained(run.path, config())


@pytest.mark.parametrize("begun_in", ["float32", "bfloat16"])
def test_a_run_goes_on_in_the_precision_it_was_begun_in(tmp_path: Path, begun_in: str) -> None:
    """Whatever the machine at hand is good at."""
    x = np.random.default_rng(0).integers(256, size=(12, 16, 16), dtype=np.uint8)
    y = np.arange(12) % 2
    np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    name, out = str(tmp_path / "x.npz"), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sparsecert.runs.train.multiplies_bfloat16", lambda _: begun_in == "bfloat16")
        settings = {"num_retained": 20}
        run = train_run(name, out, "fast", design_settings=settings, epochs=1)
        assert run.config.recipe.precision == begun_in
        patch.setattr("sparsecert.runs.train.multiplies_bfloat16", lambda _: begun_in == "float32")
        again = train_run(name, out, "fast", design_settings=settings, epochs=1)
        assert again.config.recipe.precision == begun_in


def test_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL in the middle of the real command, then the same command again."""
    often = "import sparsecert.runs.train as t; t.CHECKPOINT_SECONDS = 0.05"
    script = f"{often}; from sparsecert.cli import main; main()"
    command = [sys.executable, "-c", script, "train", "--data", "digits"]
    command += ["--retained", "12", "--epochs", "40"]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True)
    cut = RunFolder(tmp_path / "cut")
    process = subprocess.Popen([*command, "--out", str(cut.path)])
    deadline = time.monotonic() + 120
    while not (cut.checkpoint_path.exists() and cut.log_path.exists() and len(log(cut)) >= 5):
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not cut.is_trained
    subprocess.run([*command, "--out", str(cut.path)], check=True)
    whole = RunFolder(tmp_path / "whole")
    assert cut.model_path.read_bytes() == whole.model_path.read_bytes()
    assert [line["epoch"] for line in log(cut)] == list(range(1, 41))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", config())
    written = run.model_path.stat().st_mtime_ns
    trained(tmp_path / "run", config())
    assert run.model_path.stat().st_mtime_ns == written


def test_another_run_in_the_folder_is_not_overwritten(tmp_path: Path) -> None:
    trained(tmp_path / "run", config())
    with pytest.raises(RunFolderError, match=r"num_retained=12\) \(now .*13\)"):
        RunFolder.create(tmp_path / "run", config(design=UniformAblation(64, 13)))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.create(tmp_path / "other", config())


def test_masks_per_batch_and_per_example() -> None:
    dataset = data.load("digits", "train")
    plain = replace(recipe_for("fast", MNIST), augmentation="none")
    for mask_per, distinct in (("batch", 1), ("example", 256)):
        recipe = replace(plain, mask_per=mask_per)  # type: ignore[arg-type]
        encoded, labels = batches(config(recipe=recipe), dataset).at(3)
        masks = (encoded.sum(dim=1).flatten(1) > 0.5).int()
        assert masks.sum(dim=1).tolist() == [12] * 256
        assert len(torch.unique(masks, dim=0)) == distinct
        assert len(labels) == 256


def test_masks_of_many_sizes_are_uniform_and_their_sizes_log_uniform() -> None:
    masks = masks_of_many_sizes(UniformAblation(8, 3), (0.4, 1.4), np.random.default_rng(0), 40_000)
    sizes = masks.sum(axis=1)
    # Rounding cuts [1.2, 4.2] at 1.5, 2.5 and 3.5.
    expected = np.diff(np.log([1.2, 1.5, 2.5, 3.5, 4.2])) / np.log(4.2 / 1.2)
    shares = np.bincount(sizes, minlength=6)[1:5] / len(sizes)
    np.testing.assert_allclose(shares, expected, atol=0.012)
    for size in range(1, 5):  # every set of a size is as likely as any other
        sets, counts = np.unique(masks[sizes == size], axis=0, return_counts=True)
        assert len(sets) == math.comb(8, size)
        assert chisquare(counts).pvalue > 1e-4
    clipped = masks_of_many_sizes(UniformAblation(8, 6), (0.01, 9), np.random.default_rng(0), 500)
    assert set(clipped.sum(axis=1)) == set(range(1, 9))


def test_a_network_is_trained_for_many_k() -> None:
    recipe = replace(recipe_for("fast", MNIST), retained_range=(0.5, 1.5))
    encoded, _ = batches(config(recipe=recipe), data.load("digits", "train")).at(0)
    sizes = (encoded.sum(dim=1).flatten(1) > 0.5).sum(dim=1)
    assert set(sizes.tolist()) == set(range(6, 19))


def test_weight_decay_of_matrices_only() -> None:
    for decayed, numbers in (("all", (6, 0)), ("matrices", (3, 3))):
        recipe = replace(recipe_for("fast", MNIST), decayed=decayed)  # type: ignore[arg-type]
        model = models.build("mlp", (64,), 10)
        groups = recipe.build_optimizer(model).param_groups
        assert tuple(len(group["params"]) for group in groups) == numbers
        assert [group["weight_decay"] for group in groups] == [0.05, 0]
        assert all(p.ndim == 2 for p in groups[0]["params"]) == (decayed == "matrices")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing in \[0, 1\), got 1.0"),
        ({"retained_range": (0.0, 1.0)}, "two positive shares"),
        ({"retained_range": (1.2, 0.8)}, "rising, got 1.2 and 0.8"),
        ({"retained_range": (0.5, 1.0), "objective": "radius"}, "for one k"),
    ],
)
def test_recipes_out_of_range_get_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(recipe_for("fast", MNIST), **changes)


def test_only_random_ablation_has_a_k_to_vary(tmp_path: Path) -> None:
    """A recipe that varies it is followed without by other designs."""
    recipe = replace(recipe_for("fast", MNIST), retained_range=(0.5, 1.5))
    with pytest.raises(InputError, match="random ablation, which a recipe with a retained_range"):
        config(recipe=recipe, design=Partitions(64, 4))
    x = np.random.default_rng(0).integers(256, size=(12, 16, 16, 3), dtype=np.uint8)
    y = np.arange(12) % 2
    np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    for design, settings, shares in (
        ("uniform", {"num_retained": 20}, (0.4, 1.4)),
        ("partition", {"num_sets": 8}, None),
    ):
        name, out = str(tmp_path / "x.npz"), tmp_path / design
        run = train_run(name, out, "fast", design=design, design_settings=settings, epochs=1)
        assert run.config.recipe.retained_range == shares
        assert RunFolder(out).config == run.config


def test_every_epoch_visits_examples_once_in_a_new_order() -> None:
    orders = [stream(0, Stage.TRAINING_ORDER, epoch).permutation(1347) for epoch in range(2)]
    assert all(len(np.unique(order)) == 1347 for order in orders)
    assert (orders[0] != orders[1]).any()


def test_learning_rate_schedules() -> None:
    paper = recipe_for("paper", MNIST)
    rates = [paper.learning_rate_at(step, 400) for step in (0, 199, 200, 399)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])
    fast = recipe_for("fast", MNIST)
    rates = [fast.learning_rate_at(step, 1000) for step in range(1000)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(fast.learning_rate, rel=1e-3)
    assert int(np.argmax(rates)) == 100
    assert rates[-1] < 1e-3 * fast.learning_rate


def test_paper_recipe_is_the_papers() -> None:
    settings = {"epochs": 400, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.01}
    schedule = {"schedule": "step", "drops": (0.5,), "mask_per": "batch", "precision": "float32"}
    mnist = Recipe(name="paper", weight_decay=0, augmentation="none", **settings, **schedule)  # type: ignore[arg-type]
    assert recipe_for("paper", MNIST) == mnist
    cifar10 = replace(mnist, weight_decay=5e-4, augmentation="crop-flip")
    assert recipe_for("paper", (3, 32, 32)) == cifar10


def test_fast_for_grey_images_is_for_one_k() -> None:
    """What was trained by it before there were others is what it still says."""
    grey = recipe_for("fast", MNIST)
    assert (grey.label_smoothing, grey.decayed, grey.retained_range) == (0, "all", None)
    assert (grey.epochs, grey.batch_size, grey.learning_rate) == (150, 256, 2e-3)


def test_bad_settings_end_before_a_folder_exists(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for options, sentence in (
        ({"num_retained": 65}, "between 1 and num_features"),
        ({"architecture": "paper-cnn"}, "28 x 28"),
        ({"epochs": -1}, "at least 0 epochs"),
    ):
        settings = {"num_retained": options.pop("num_retained", 12)}
        with pytest.raises(InputError, match=sentence):
            train_run("digits", out, "fast", design_settings=settings, **options)
        assert not out.exists()
    with pytest.raises(InputError, match="paper, fast, radius"):
        recipe_for("slow", MNIST)
    with pytest.raises(InputError, match="got both"):
        replace(recipe_for("radius", MNIST), mask_per="batch")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}'])
def test_a_foreign_or_damaged_config_gets_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"config\.json"):
        RunFolder.open(tmp_path)


def test_damaged_weights_and_checkpoints_get_a_sentence(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", config())
    run.model_path.write_bytes(run.model_path.read_bytes()[:1000])
    with pytest.raises(RunFolderError, match="damaged"):
        run.load_model()
    run.model_path.unlink()
    with pytest.raises(RunFolderError, match="has not finished"):
        RunFolder.open(run.path)
    run.checkpoint_path.write_bytes(b"nothing")
    with pytest.raises(RunFolderError, match="checkpoint"):
        trained(run.path, config())


def test_config_survives_the_file(tmp_path: Path) -> None:
    mean = config(encoding="mean", encoding_mean=(0.3,), recipe=recipe_for("paper", MNIST))
    noise = config(design=DiscreteNoise(64, 0.8, 2), encoding="none")
    ensemble = config(
        design=Partitions(64, 4, 2, "stratified", (8, 8)), architecture="subset-ensemble", width=8
    )
    for number, settings in enumerate((mean, noise, ensemble)):
        assert RunFolder.create(tmp_path / str(number), settings).config == settings


def test_a_folder_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It lacks what was added later, which has its default then."""
    run = RunFolder.create(tmp_path, config())
    values = json.loads(run.config_path.read_text())
    del values["width"], values["start"]
    added = ("label_smoothing", "decayed", "retained_range")
    for name in ("drops", "masks_per_example", "radius", "objective", *added):
        del values["recipe"][name]
    run.config_path.write_text(json.dumps(values))
    assert RunFolder(tmp_path).config == config()
    assert run.config is run.config  # read once


def trained_by_name(
    path: Path, retained: int, epochs: int, start: Path | None = None, encoding: str = "two-channel"
) -> RunFolder:
    settings = {"num_retained": retained}
    return train_run(
        "digits",
        path,
        "fast",
        design_settings=settings,
        encoding=encoding,
        architecture="mlp",
        epochs=epochs,
        start=start,
    )


def test_training_starts_from_another_runs_weights(tmp_path: Path) -> None:
    first = trained_by_name(tmp_path / "first", 20, 6)
    second = trained_by_name(tmp_path / "second", 12, 1, first.path)
    fresh = trained_by_name(tmp_path / "fresh", 12, 1)
    assert log(second)[0]["loss"] < log(fresh)[0]["loss"] - 0.3
    config = second.config
    assert config.start is not None
    assert (config.start.path, config.start.epochs) == (str(first.path), 6)
    assert config.start.fingerprint == first.fingerprint()
    assert classifier_values(config)["epochs"] == 7
    seconds = second.training_seconds()
    assert seconds == pytest.approx(log(first)[-1]["seconds"] + log(second)[-1]["seconds"])
    command = second.train_command()
    assert command == f"{first.train_command()} && " + command.split(" && ")[1]
    assert command.endswith(f"--start {first.path}")


def test_a_start_of_another_network_gets_a_sentence(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", config())
    with pytest.raises(InputError, match="start from with encoding 'mean'"):
        trained_by_name(tmp_path / "second", 12, 1, first.path, "mean")
    assert not (tmp_path / "second").exists()
    with pytest.raises(RunFolderError, match="not a run folder"):
        trained_by_name(tmp_path / "second", 12, 1, tmp_path)


def test_no_epochs_give_the_same_weights_another_k(tmp_path: Path) -> None:
    first = trained_by_name(tmp_path / "first", 20, 2)
    second = trained_by_name(tmp_path / "second", 12, 0, first.path)
    assert second.model_path.read_bytes() == first.model_path.read_bytes()
    assert second.fingerprint() != first.fingerprint()  # its votes are others
    assert second.training_seconds() == first.training_seconds()
    assert classifier_values(second.config)["epochs"] == 2
    procedure = Procedure(limit=4, plan=SamplingPlan(10, 50))
    dataset, measurement = certify_run(second, procedure)
    write_record(second.record_path, make_record(second, dataset, procedure, measurement))
    write_report(second)
    with pytest.raises(InputError, match="at least 1 epoch, or a run to start from"):
        trained_by_name(tmp_path / "third", 12, 0)
