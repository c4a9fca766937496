"""Analysis by synthesis: the search in latent space, and what it classifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsecert import data
from sparsecert.attacks.pointwise import pointwise_attack
from sparsecert.data import Dataset
from sparsecert.errors import RunFolderError
from sparsecert.reproduce import analysis_by_synthesis
from sparsecert.reproduce.analysis_by_synthesis import AnalysisBySynthesis, train_autoencoders
from sparsecert.reproduce.baselines import baseline_target


def untrained(num_steps: int = 10, num_samples: int = 30) -> AnalysisBySynthesis:
    """For inputs of 12 features in 3 classes; its images depend on the latent vectors."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AnalysisBySynthesis(12, 3, num_samples, num_steps)
    for weight in model.decoder.weights:
        weight.data *= 3
    return model.eval()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(7, 12, generator=torch.Generator().manual_seed(2))


def test_gradient_by_hand_is_that_of_autograd(x: Tensor) -> None:
    model = untrained().double()
    latents = torch.randn(3, 7, 8, dtype=torch.float64, requires_grad=True)
    x = x.double()
    with torch.no_grad():
        loss, gradient = model.loss_and_gradient(latents, x)
    images = model.decoder(latents)[-1].sigmoid()
    wanted = (images - x).square().sum(2) + 0.05 * latents.square().sum(2)
    assert torch.allclose(loss, wanted)
    assert torch.allclose(gradient, torch.autograd.grad(wanted.sum(), latents)[0])


def test_scores_are_those_of_the_best_explanation(x: Tensor) -> None:
    scores = {steps: untrained(steps)(x).detach() for steps in (1, 5, 50, 1000)}
    model = untrained()
    everywhere = model.samples[:, None].expand(3, -1, 1, -1)  # the one stage by brute force
    sampled = torch.stack(
        [model.loss_and_gradient(everywhere[:, i].expand(-1, 7, -1), x)[0] for i in range(30)]
    )
    assert torch.allclose(scores[1], -sampled.amin(dim=0).T, atol=1e-5)
    assert (scores[5] >= scores[1]).all()
    assert (scores[50] >= scores[5]).all()
    assert scores[50].mean() > scores[1].mean() + 0.05
    # At the end nothing is left to gain nearby.
    _, gradient = untrained(1000).loss_and_gradient(untrained(1000).explanations(x), x)
    assert gradient.norm(dim=2).max() < 0.05
    assert (scores[1000] - scores[50]).abs().mean() < 0.05


def test_scores_are_log_likelihoods_where_latent_vectors_do_not_matter(x: Tensor) -> None:
    model = untrained(num_steps=50, num_samples=500)
    model.decoder.weights[-1].data.zero_()
    model.eval()
    pixels = torch.distributions.Normal(model.decoder.biases[-1].sigmoid(), 0.5**0.5)
    exact = pixels.log_prob(x).sum(dim=2).T + 6 * np.log(np.pi)
    assert torch.allclose(model(x), exact, atol=0.01)


def test_scores_depend_on_the_input_alone(x: Tensor) -> None:
    model = untrained()
    scores = model(x)
    assert scores.shape == (7, 3)
    assert torch.equal(model(x), scores)
    assert torch.equal(untrained()(x.view(7, 1, 3, 4)), scores)
    assert torch.allclose(torch.cat([model(row[None]) for row in x]), scores, atol=1e-4)
    with torch.inference_mode():
        assert torch.allclose(model(x), scores, atol=1e-4)


def test_scores_have_the_gradient_at_the_explanation(x: Tensor) -> None:
    model = untrained()
    moving = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(moving)[:, 0].sum(), moving)
    images = model.decoder(model.explanations(x))[-1].sigmoid()
    assert torch.allclose(gradient, 2 * (images[0] - x), atol=1e-5)


def test_training_ends_with_images_of_the_new_weights(x: Tensor) -> None:
    train = data.load("digits", "train")
    model = AnalysisBySynthesis(64, 10, 20, 1)
    before = model.eval().sample_images
    train_autoencoders(model, train, 1, binarised=False, show_progress=False)
    assert not model.training
    assert model.sample_images.shape == (200, 64)
    assert (model.sample_images - before).abs().max() > 0.01
    assert "sample_images" not in model.state_dict()
