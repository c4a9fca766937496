"""Analysis by synthesis: the search in latent space, and what it classifies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from sparsecert import data
from sparsecert.attacks import PlainClassifier
from sparsecert.attacks.campaign import Target
from sparsecert.errors import RunFolderError
from sparsecert.reproduce.analysis_by_synthesis import AnalysisBySynthesis
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
    scores = {steps: untrained(steps)(x).detach() for steps in (1, 5, 50, 400)}
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
    _, gradient = untrained(400).loss_and_gradient(untrained(400).explanations(x), x)
    assert gradient.norm(dim=2).max() < 0.05
    assert (scores[400] - scores[50]).abs().mean() < 0.05


def test_scores_are_log_likelihoods_where_latent_vectors_do_not_matter(x: Tensor) -> None:
    model = untrained(num_steps=50, num_samples=500)
    model.decoder.weights[-1].data.zero_()
    model.eval()
    images = model.decoder.biases[-1].detach().sigmoid().numpy()
    exact = norm.logpdf(x.numpy(), images, 0.5**0.5).sum(axis=2).T + 6 * np.log(np.pi)
    assert np.allclose(model(x).detach().numpy(), exact, atol=0.01)


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


def target(folder: Path, name: str, epochs: int = 40) -> Target:
    return baseline_target(name, "digits", folder / name, epochs, show_progress=False)


def test_digits_are_classified(tmp_path: Path) -> None:
    test = data.load("digits", "test")
    x = test.batch(range(100))
    for name in ("abs", "binarised-abs"):
        trained = target(tmp_path, name)
        victim = trained.load()
        assert isinstance(victim, PlainClassifier)
        classes = victim.predict(x)
        assert np.mean(classes == test.labels[:100]) > 0.85
        assert np.mean(classes == victim.predict((x > 0.5).float())) == 1 or name == "abs"
        # What was trained is read from the file, and its samples' images are made anew.
        again = target(tmp_path, name)
        assert again.fingerprint == trained.fingerprint
        loaded = again.load()
        assert isinstance(loaded, PlainClassifier)
        assert torch.equal(loaded.logits(x), victim.logits(x))


def test_a_killed_training_begins_anew_and_a_damaged_one_gets_a_sentence(tmp_path: Path) -> None:
    trained = target(tmp_path, "abs", 2)
    with pytest.raises(RunFolderError, match="holds another baseline"):
        target(tmp_path, "abs", 3)
    weights = tmp_path / "abs" / "model.safetensors"
    weights.unlink()
    assert target(tmp_path, "abs", 2).fingerprint == trained.fingerprint
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(RunFolderError, match=r"abs is damaged .* remove it"):
        target(tmp_path, "abs", 2)
