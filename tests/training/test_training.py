from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sparsecert as sc
from sparsecert import UniformAblation, data
from sparsecert.data import Dataset
from sparsecert.designs.family import Partitions
from sparsecert.designs.noise import DiscreteNoise
from sparsecert.errors import InputError, RunFolderError
from sparsecert.models import architectures as models
from sparsecert.procedures.run import certify_images, run_images
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.records.record import classifier_values, make_record, write_record
from sparsecert.report.page import write_report
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train_run
from sparsecert.smoothing.encoding import TwoChannelEncoding
from sparsecert.training import checkpoint
from sparsecert.training.fit import Training, fit, seeded
from sparsecert.training.recipes import recipe_for
from tests.helpers.commands import log, read_json
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


@pytest.mark.parametrize("weight_average", [0.0, 0.6])
def test_resumed_training_pairs_weights_with_their_moments(
    tmp_path: Path, weight_average: float
) -> None:
    """Also where weights lie in memory in another order than in the file, and with averages."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(32, 3, 16, 16), dtype=np.uint8)
    dataset = Dataset("x", "train", images, np.arange(32) % 2, ("a", "b"))
    recipe = replace(recipe_for("fast", (3, 16, 16)), epochs=3, batch_size=16, precision="float32")
    recipe = replace(recipe, weight_average=weight_average)

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


def test_weights_are_averaged_over_steps() -> None:
    settings, dataset = config(), data.load("digits", "train")
    recipe = replace(settings.recipe, epochs=1, weight_average=0.75)
    training = Training(
        settings.build_model(), dataset, settings.design, settings.build_encoding(), recipe, seed=0
    )
    steps = [
        {name: value.clone() for name, value in training.model.state_dict().items()}
        for _ in training
    ]
    assert len(steps) > 2
    for name, averaged in training.model.state_dict().items():
        mean = steps[0][name]
        for step in steps[1:]:
            mean = 0.75 * mean + 0.25 * step[name]
        torch.testing.assert_close(averaged, mean)
        assert not averaged.is_floating_point() or not torch.equal(averaged, steps[-1][name])


def test_a_run_goes_on_with_as_many_processes(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", config())
    model = config().build_model()
    optimizer = config().recipe.build_optimizer(model)
    state = checkpoint.Progress(step=3, num_processes=2)
    checkpoint.save_checkpoint(run.checkpoint_path, {"model": model}, optimizer, state)
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
        assert run.config.recipe.precision == begun_in


def test_who_votes_in_a_precision_that_the_device_imitates_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, settings = noise_images(tmp_path / "x.npz", 12, 16), {"num_retained": 20}
    for module in ("runs.train", "procedures.procedure"):
        monkeypatch.setattr(f"sparsecert.{module}.multiplies_bfloat16", lambda _: True)
    run = train_run(name, tmp_path / "run", "fast", design_settings=settings, epochs=1)
    sc.load(run.path)
    for module in ("runs.train", "procedures.procedure"):
        monkeypatch.setattr(f"sparsecert.{module}.multiplies_bfloat16", lambda _: False)
    with pytest.warns(sc.SlowPrecisionWarning, match=f"--epochs 0 --start {run.path}"):
        sc.load(run.path)
    other = tmp_path / "other"
    train_run(name, other, "fast", design_settings=settings, epochs=0, start=run.path)
    assert sc.load(other).precision == "float32"


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
    ensemble = config(
        design=Partitions(64, 4, 2, "stratified", (8, 8)), architecture="subset-ensemble", width=8
    )
    for number, settings in enumerate((mean, noise, ensemble)):
        run = RunFolder.create(tmp_path / str(number), settings)
        assert run.config == settings
        assert run.config is run.config  # read once


def test_a_folder_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It lacks what was added later, which has its default then."""
    run = RunFolder.create(tmp_path, config())
    values = read_json(run.config_path)
    del values["width"], values["start"]
    added = ("label_smoothing", "decayed", "retained_range")
    for name in ("drops", "masks_per_example", "radius", "objective", *added):
        del values["recipe"][name]
    run.config_path.write_text(json.dumps(values))
    assert RunFolder(tmp_path).config == config()


def test_training_starts_from_another_runs_weights(tmp_path: Path) -> None:
    first = trained_by_name(tmp_path / "first", 20, epochs=6)
    second = trained_by_name(tmp_path / "second", epochs=1, start=first.path)
    fresh = trained_by_name(tmp_path / "fresh", epochs=1)
    assert log(second.path)[0]["loss"] < log(fresh.path)[0]["loss"] - 0.3
    config = second.config
    assert config.start is not None
    assert (config.start.path, config.start.epochs) == (str(first.path), 6)
    assert config.start.fingerprint == first.fingerprint()
    assert classifier_values(config)["epochs"] == 7
    assert second.training_seconds() == pytest.approx(
        log(first.path)[-1]["seconds"] + log(second.path)[-1]["seconds"]
    )
    command = config.train_command(second.path)
    assert command == f"{first.config.train_command(first.path)} && " + command.split(" && ")[1]
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
    assert second.training_seconds() == first.training_seconds()
    assert classifier_values(second.config)["epochs"] == 2
    procedure = SampledProcedure(num_selection=10, num_samples=50)
    measurement = certify_images(run_images(second, limit=4), procedure)
    write_record(second.record_path, make_record(procedure, measurement, 4))
    write_report(second)
    with pytest.raises(InputError, match="at least 1 epoch, or a run to start from"):
        trained_by_name(tmp_path / "third", epochs=0)
