"""Training for certificates: the loss, and the recipe that minimises it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparsecert import UniformAblation, data
from sparsecert.errors import InputError
from sparsecert.records.record import classifier_values
from sparsecert.runs.config import ParentRun, RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.runs.train import train_run
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples
from sparsecert.training.objective import build_loss, certificate_loss, soft_shares
from sparsecert.training.recipes import recipe_for
from tests.helpers.commands import log
from tests.helpers.training import batches, config, noise_images, trained_by_name

IMAGES, MASKS, CLASSES = 7, 40, 4


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def some_ballots() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(IMAGES, MASKS, CLASSES, generator=generator)
    return logits, torch.arange(IMAGES) % CLASSES


def test_shares_of_decided_ballots_are_counts() -> None:
    logits, labels = some_ballots()
    shares = soft_shares(1e5 * logits, labels)
    for image, label in enumerate(labels.tolist()):
        above = (logits[image, :, label, None] > logits[image]).float().mean(dim=0)
        rivals = [rival for rival in range(CLASSES) if rival != label]
        torch.testing.assert_close(shares[image], above[rivals])


def test_loss_by_hand() -> None:
    """Two classes and equal ballots: the one share is the sigmoid of one margin."""
    logits = torch.tensor([[[0.2, 0.0]] * 5, [[0.0, -0.1]] * 5])
    share = sigmoid(0.2 / 0.3), sigmoid(-0.1 / 0.3)
    expected = [
        (1 - sigmoid((p - 0.6 - 0.006) / 0.05)) + 0.5 * (1 - sigmoid((p - 0.5 - 0.02) / 0.05))
        for p in share
    ]
    loss = certificate_loss(logits, torch.tensor([0, 1]), 0.6)
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_loss_is_of_the_worst_rival() -> None:
    logits, labels = some_ballots()
    logits += 3 * torch.nn.functional.one_hot(labels, CLASSES)[:, None]
    before = certificate_loss(logits, labels, 0.9)
    worst = soft_shares(logits, labels).argmin(dim=1)
    rivals = torch.tensor([[c for c in range(CLASSES) if c != label] for label in labels.tolist()])
    worst, best = rivals[range(IMAGES), worst], soft_shares(logits, labels).argmax(dim=1)
    best = rivals[range(IMAGES), best]
    assert (worst != best).all()

    def raised(which: torch.Tensor) -> torch.Tensor:
        more = 0.2 * torch.nn.functional.one_hot(which, CLASSES)[:, None]
        return certificate_loss(logits + more, labels, 0.9)

    assert raised(labels) < before
    assert raised(worst) - before > 5 * abs(raised(best) - before)


def test_a_higher_radius_costs_more() -> None:
    logits, labels = some_ballots()
    losses = [certificate_loss(logits, labels, 0.5 + shift) for shift in (0.0, 0.1, 0.3)]
    assert losses[0] < losses[1] < losses[2]


def test_smoothed_labels_spread_a_share_over_all_classes() -> None:
    logits, labels = some_ballots()
    logits = logits[:, 0]
    recipe = replace(recipe_for("fast", (1, 28, 28)), label_smoothing=0.2)
    own, logs = torch.nn.functional.one_hot(labels, CLASSES), logits.log_softmax(dim=1)
    by_hand = -((0.8 * own + 0.2 / CLASSES) * logs).sum(dim=1).mean()
    loss = build_loss(recipe, UniformAblation(64, 12))(logits, labels)
    torch.testing.assert_close(loss, by_hand)


@pytest.fixture(scope="module")
def fast_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run to start from, 16 of 64 pixels retained."""
    return trained_by_name(tmp_path_factory.mktemp("runs") / "fast", 16, epochs=20)


def train_for(path: Path, start: RunFolder | None, radius: int | None, **options: Any) -> RunFolder:
    begin = start and start.path
    return trained_by_name(path, 16, "radius", start=begin, radius=radius, **options)


def held_out_loss(run: RunFolder, radius: int) -> float:
    config, dataset = run.config, data.load("digits", "test")
    assert isinstance(config.design, UniformAblation)
    rows, fresh = np.arange(200), samples(0, Stage.EVALUATION, 0, 64 * 200)
    mask = torch.from_numpy(config.design.draw(fresh))
    inputs = dataset.batch(rows).repeat_interleave(64, dim=0)
    threshold = float(config.design.share_thresholds()[radius])
    with torch.inference_mode():
        logits = run.load_model().eval()(config.build_encoding()(inputs, mask))
    labels = torch.from_numpy(dataset.labels[rows])
    return float(certificate_loss(logits.view(len(rows), 64, -1), labels, threshold))


def test_training_lowers_the_loss_of_unseen_images(tmp_path: Path, fast_run: RunFolder) -> None:
    second = train_for(tmp_path / "second", fast_run, 2, epochs=2)
    assert held_out_loss(second, 2) < held_out_loss(fast_run, 2) - 0.01
    lines = log(second.path)
    assert lines[1]["loss"] < lines[0]["loss"]


def test_normalisation_keeps_its_statistics(tmp_path: Path) -> None:
    """A step sees sixteen images, which are no basis for normalising."""
    name, settings = noise_images(tmp_path / "x.npz", 64, 16), {"num_retained": 60}
    first = train_run(name, tmp_path / "first", "fast", design_settings=settings, epochs=2)
    start: dict[str, Any] = {"start": first.path, "radius": 1}
    second = train_run(name, tmp_path / "second", "radius", design_settings=settings, **start)
    before, after = (run.load_model().state_dict() for run in (first, second))
    statistics = [key for key in before if "running" in key]
    assert statistics
    assert all(torch.equal(before[key], after[key]) for key in statistics)
    assert any(not torch.equal(before[key], after[key]) for key in before)


def for_radius(radius: int | None) -> RunConfig:
    recipe = replace(recipe_for("radius", (1, 8, 8)), radius=radius)
    return config(recipe=recipe, start=ParentRun("somewhere", "0", 1, None, "sparsecert train"))


def test_an_example_is_seen_on_many_masks() -> None:
    dataset = data.load("digits", "train")
    encoded, labels = batches(for_radius(2), dataset).at(5)
    assert encoded.shape == (16 * 32, 2, 8, 8)
    assert (labels.view(16, 32) == labels[::32, None]).all()
    retained = encoded.sum(dim=1) > 0.5
    assert len(torch.unique(retained.flatten(1), dim=0)) == 16 * 32
    pictures = encoded[:, 0].view(16, 32, 8, 8)
    whole, seen = pictures.amax(dim=1, keepdim=True), retained.view(16, 32, 8, 8)
    assert torch.equal(pictures, torch.where(seen, whole, 0))


def test_config_with_a_radius_survives_the_file(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path / "run", for_radius(2)).config == for_radius(2)


def test_the_radius_is_recorded(tmp_path: Path, fast_run: RunFolder) -> None:
    run = train_for(tmp_path / "second", fast_run, 1, epochs=1)
    values = classifier_values(run.config)
    assert (values["recipe"], values["radius_trained_for"], values["epochs"]) == ("radius", 1, 21)
    assert "--recipe radius" in run.config.train_command(run.path)
    assert "--radius 1 --start" in run.config.train_command(run.path)


def test_bad_settings_get_a_sentence(tmp_path: Path, fast_run: RunFolder) -> None:
    out = tmp_path / "second"
    for radius in (None, -1, 3, 60):
        with pytest.raises(InputError, match=r"radius from 0 to 2, .* k = 16 of 64 .* got"):
            train_for(out, fast_run, radius)
    with pytest.raises(InputError, match="a trained run to start from"):
        train_for(out, None, 1)
    with pytest.raises(InputError, match="a radius only with the recipe radius, got 1"):
        trained_by_name(out, 16, radius=1)
    partition: dict[str, Any] = {
        "design": "partition",
        "design_settings": {"num_sets": 16, "copies": 1, "layout": "strided"},
        "architecture": "mlp",
    }
    with pytest.raises(InputError, match="expected random ablation"):
        train_run("digits", out, "radius", **partition, start=fast_run.path, radius=1)
    assert not out.exists()
