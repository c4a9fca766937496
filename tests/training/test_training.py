from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsecert import UniformAblation, data
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.errors import InputError, RunFolderError
from sparsecert.procedures.procedure import Procedure, certify_run
from sparsecert.procedures.sampled import SamplingPlan
from sparsecert.records.record import (
    classifier_values,
    make_record,
    train_command,
    training_seconds,
    write_record,
)
from sparsecert.report.page import write_report
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train_run
from sparsecert.streams import Stage, stream
from sparsecert.training import checkpoint
from sparsecert.training.fit import Batches
from sparsecert.training.recipes import Recipe, recipe_for
from tests.helpers.commands import log
from tests.helpers.internals import CutOffError, cut_off_after
from tests.helpers.training import config, noise_images, trained, trained_by_name

MNIST = (1, 28, 28)


@pytest.mark.parametrize(("recipe", "epochs"), [("fast", 12), ("paper", 40)])
def test_learns(tmp_path: Path, recipe: str, epochs: int) -> None:
    run = trained(tmp_path, config(recipe=replace(recipe_for(recipe, (64,)), epochs=epochs)))
    lines = log(run.path)
    assert [line["epoch"] for line in lines] == list(range(1, epochs + 1))
    assert lines[-1]["loss"] < 0.98 * lines[0]["loss"]
    assert lines[-1]["ablated_accuracy"] > max(0.15, lines[0]["ablated_accuracy"])
    assert not run.checkpoint_path.exists()


@pytest.mark.parametrize("recipe", ["fast", "paper"])
def test_repeats_itself(tmp_path: Path, recipe: str) -> None:
    settings = config(recipe=replace(recipe_for(recipe, (64,)), epochs=3))
    one, again, other = (
        trained(tmp_path / name, replace(settings, seed=seed)).model_path.read_bytes()
        for name, seed in (("one", 0), ("again", 0), ("other", 1))
    )
    assert one == again != other


@pytest.mark.parametrize("steps", [7, 10])  # in an epoch, between two
def test_stopped_and_resumed_training_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    whole = trained(tmp_path / "whole", config())
    cut_off_after(monkeypatch, steps)
    with pytest.raises(CutOffError):
        trained(tmp_path / "cut", config())
    cut = RunFolder(tmp_path / "cut")
    assert not cut.is_trained
    with cut.log_path.open("a") as file:  # as if killed after logging, before the checkpoint
        file.write('{"epoch": 9, "step": 90, "loss": 9.9}\n{"epo')
    trained(tmp_path / "cut", config())
    assert cut.model_path.read_bytes() == whole.model_path.read_bytes()
    logs = log(cut.path), log(whole.path)
    for line in (*logs[0], *logs[1]):
        del line["seconds"]
    assert logs[0] == logs[1]


def test_a_run_goes_on_with_as_many_processes(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", config())
    model = config().build_model()
    optimizer = config().recipe.build_optimizer(model)
    state = checkpoint.Progress(step=3, num_processes=2)
    checkpoint.save_checkpoint(run.checkpoint_path, model, optimizer, state)
    with pytest.raises(RunFolderError, match="begun with 2 processes; go on with as many, not 1"):
        trained(run.path, config())


@pytest.mark.parametrize("begun_in", ["float32", "bfloat16"])
def test_a_run_goes_on_in_the_precision_it_was_begun_in(
    tmp_path: Path, begun_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine at hand is good at."""
    name, settings = noise_images(tmp_path / "x.npz", 12, 16), {"num_retained": 20}
    for good_at in (begun_in, {"float32": "bfloat16", "bfloat16": "float32"}[begun_in]):
        monkeypatch.setattr(
            "sparsecert.runs.train.multiplies_bfloat16", lambda _, name=good_at: name == "bfloat16"
        )
        run = train_run(name, tmp_path / "run", "fast", design_settings=settings, epochs=1)
        assert run.read_config().recipe.precision == begun_in


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
    from accelerate import Accelerator

    dataset = data.load("digits", "train")
    plain = replace(recipe_for("fast", MNIST), augmentation="none")
    for mask_per, distinct in (("batch", 1), ("example", 256)):
        recipe = replace(plain, mask_per=mask_per)  # type: ignore[arg-type]
        batches = Batches(config(recipe=recipe), dataset, Accelerator(cpu=True))
        encoded, labels = batches.at(3)
        masks = (encoded.sum(dim=1).flatten(1) > 0.5).int()
        assert masks.sum(dim=1).tolist() == [12] * 256
        assert len(torch.unique(masks, dim=0)) == distinct
        assert len(labels) == 256


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


def test_bad_settings_end_before_a_folder_exists(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for options, sentence in (
        ({"retained": 65}, "between 1 and num_features"),
        ({"architecture": "paper-cnn"}, "28 x 28"),
        ({"epochs": -1}, "at least 0 epochs"),
        ({"design": "bogus"}, "design to be one of uniform, .* got 'bogus'"),
    ):
        with pytest.raises(InputError, match=sentence):
            trained_by_name(out, **options)
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
    for number, settings in enumerate((mean, noise)):
        assert RunFolder.create(tmp_path / str(number), settings).read_config() == settings


def test_training_starts_from_another_runs_weights(tmp_path: Path) -> None:
    first = trained_by_name(tmp_path / "first", 20, epochs=6)
    second = trained_by_name(tmp_path / "second", epochs=1, start=first.path)
    fresh = trained_by_name(tmp_path / "fresh", epochs=1)
    assert log(second.path)[0]["loss"] < log(fresh.path)[0]["loss"] - 0.3
    config = second.read_config()
    assert config.start is not None
    assert (config.start.path, config.start.epochs) == (str(first.path), 6)
    assert config.start.fingerprint == first.fingerprint()
    assert classifier_values(config)["epochs"] == 7
    seconds = training_seconds(second)
    assert seconds == pytest.approx(
        log(first.path)[-1]["seconds"] + log(second.path)[-1]["seconds"]
    )
    command = train_command(config, second)
    assert command == f"{train_command(first.read_config(), first)} && " + command.split(" && ")[1]
    assert command.endswith(f"--start {first.path}")


def test_a_start_of_another_network_gets_a_sentence(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", config())
    with pytest.raises(InputError, match="start from with encoding 'mean'"):
        trained_by_name(tmp_path / "second", epochs=1, start=first.path, encoding="mean")
    assert not (tmp_path / "second").exists()
    with pytest.raises(RunFolderError, match="not a run folder"):
        trained_by_name(tmp_path / "second", epochs=1, start=tmp_path)


def test_no_epochs_give_the_same_weights_another_k(tmp_path: Path) -> None:
    first = trained_by_name(tmp_path / "first", 20, epochs=2)
    second = trained_by_name(tmp_path / "second", epochs=0, start=first.path)
    assert second.model_path.read_bytes() == first.model_path.read_bytes()
    assert second.fingerprint() != first.fingerprint()  # its votes are others
    assert training_seconds(second) == training_seconds(first)
    assert classifier_values(second.read_config())["epochs"] == 2
    procedure = Procedure(limit=4, plan=SamplingPlan(10, 50))
    dataset, measurement = certify_run(second, procedure)
    write_record(second.record_path, make_record(second, dataset, procedure, measurement))
    write_report(second)
    with pytest.raises(InputError, match="at least 1 epoch, or a run to start from"):
        trained_by_name(tmp_path / "third", epochs=0)
