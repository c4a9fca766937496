"""Analysis by synthesis (Schott et al. 2019): the class whose images explain an input best.

A variational autoencoder for each class learns what its images look like. To classify, the decoder
of every class is asked for the image nearest to the input, found by search among its latent
vectors, and the class of the nearest wins.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsecert import progress
from sparsecert.data import Dataset
from sparsecert.devices import best_device
from sparsecert.streams import Stage, stream

_LATENT = 8
_HIDDEN = (64, 256)  # of the decoder; the encoder's are the same, from the other end
_KL_WEIGHT = 0.1
_SAMPLES = 2000
_LONGEST = 5.0  # norm of a latent vector
_STEPS, _STEP = 20, 0.1
_MOMENTA = (0.9, 0.999)
_BATCH, _RATE = 64, 4e-3  # of training, of each class
_SAMPLES_STREAM = 2**31  # no epoch has this number


class ClassPerceptrons(nn.Module):
    """A perceptron for each class, all of one shape: linear layers with ELU between them.

    Args:
        num_classes: number of perceptrons.
        widths: of the input, the hidden layers and the output.
    """

    def __init__(self, num_classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for width_in, width_out in itertools.pairwise(widths):
            bound = 1 / math.sqrt(width_in)
            weight = torch.empty(num_classes, width_in, width_out).uniform_(-bound, bound)
            bias = torch.empty(num_classes, 1, width_out).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The `(classes, batch, width)` input, hidden layers and output."""
        layers = [x]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            if len(layers) > 1:
                layers[-1] = functional.elu(layers[-1], inplace=True)
            layers.append(torch.baddbmm(bias, layers[-1], weight))
        return layers

    def gradient(self, layers: list[Tensor], slope: Tensor) -> Tensor:
        """What `slope`, the gradient with respect to the output, is with respect to the input.

        Written by hand, as attacks ask in inference mode, where autograd does not work.

        Args:
            layers: as `forward` gives them.
            slope: of the output's shape.
        """
        for weight, below in zip(reversed(self.weights), reversed(layers[:-1]), strict=True):
            slope = torch.bmm(slope, weight.mT)
            if below is not layers[0]:
                slope *= below.clamp(max=0) + 1
        return slope


class AnalysisBySynthesis(nn.Module):
    """Scores a class by the likeliest explanation of an input that its decoder has.

    A decoder makes an image of a latent vector z with standard normal prior, and the input is that
    image with noise of variance 1/2 (per pixel). The score is, up to a constant, the maximum over z
    of log p(x | z, class) - w |z|^2 / 2. The last term is, up to a constant, w times the divergence
    of a normal distribution of variance 1 around z from the prior: so the score would be the
    evidence lower bound of log p(x | class), were the likelihood averaged over that distribution
    and not taken at its mean, as Schott et al. do.

    The maximum is searched for in two stages, of which the second is Adam's: the best of many
    vectors from the prior, the same for all inputs, and steps from there along the gradient. The
    scores are a deterministic function of the input. They have a gradient, that at the z found.

    In evaluation mode the images of all samples are kept, which takes `num_samples x num_classes x
    num_features` numbers; `eval()` makes them of the weights that there are then.

    Args:
        num_features: values of one input.
        num_classes: number of classes.
        num_samples: vectors from the prior.
        num_steps: steps along the gradient.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        num_samples: int = _SAMPLES,
        num_steps: int = _STEPS,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_steps = num_classes, num_steps
        widths = (_LATENT, *_HIDDEN, num_features)
        self.decoder = ClassPerceptrons(num_classes, widths)
        self.encoder = ClassPerceptrons(num_classes, (*widths[:0:-1], 2 * _LATENT))
        generator = stream(0, Stage.BASELINE_TRAINING, _SAMPLES_STREAM)
        samples = generator.standard_normal((num_samples, _LATENT)).astype(np.float32)
        self.samples = nn.Buffer(_shortened(torch.from_numpy(samples)))
        self.sample_images = nn.Buffer(torch.empty(0), persistent=False)
        self.sample_constants = nn.Buffer(torch.empty(0), persistent=False)

    def train(self, mode: bool = True) -> AnalysisBySynthesis:
        """Begin training; or end it, and make the images of the samples."""
        super().train(mode)
        if not mode:
            with torch.no_grad():
                latents = self.samples.expand(self.num_classes, -1, -1)
                images = self.decoder(latents)[-1].sigmoid_().flatten(0, 1)
                self.sample_constants = images.square().sum(dim=1) + _penalty(latents).flatten()
                self.sample_images = images
        return self

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, classes)` scores."""
        x = x.flatten(1)
        latents = self.explanations(x.detach())
        images: Tensor = self.decoder(latents)[-1].sigmoid()
        return -((images - x).square().sum(dim=2) + _penalty(latents)).T

    @torch.no_grad()
    def explanations(self, x: Tensor) -> Tensor:
        """`(classes, batch, 8)` latent vectors, the best found for `(batch, features)` inputs."""
        losses = torch.addmm(self.sample_constants, x, self.sample_images.T, alpha=-2)
        nearest = losses.view(len(x), self.num_classes, -1).argmin(dim=2)
        latents = best = self.samples[nearest.T]
        least = latents.new_full(latents.shape[:2], torch.inf)
        mean, square = torch.zeros_like(latents), torch.zeros_like(latents)
        for step in range(1, self.num_steps + 1):
            loss, gradient = self.loss_and_gradient(latents, x)
            best = torch.where((loss < least)[:, :, None], latents, best)
            least = torch.minimum(loss, least)
            mean.lerp_(gradient, 1 - _MOMENTA[0])
            square.lerp_(gradient.square_(), 1 - _MOMENTA[1])
            deviation = (square / (1 - _MOMENTA[1] ** step)).sqrt_().add_(1e-8)
            latents = latents - _STEP / (1 - _MOMENTA[0] ** step) * mean / deviation
            latents = _shortened(latents)
        return best

    def loss_and_gradient(self, latents: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Minus the score of latent vectors, and its gradient with respect to them.

        Args:
            latents: `(classes, batch, 8)`.
            x: `(batch, features)`.

        Returns:
            `(classes, batch)` and `(classes, batch, 8)`.
        """
        layers = self.decoder(latents)
        images = layers[-1].sigmoid_()
        difference = images - x
        loss = difference.square().sum(dim=2) + _penalty(latents)
        slope = images.addcmul_(images, images, value=-1).mul_(difference).mul_(2)
        return loss, self.decoder.gradient(layers, slope) + _KL_WEIGHT * latents


def _penalty(latents: Tensor) -> Tensor:
    penalty: Tensor = _KL_WEIGHT / 2 * latents.square().sum(dim=2)
    return penalty


def _shortened(latents: Tensor) -> Tensor:
    """Latent vectors, those that are too long cut to the greatest length."""
    lengths: Tensor = latents.norm(dim=-1, keepdim=True)
    return latents * (_LONGEST / lengths).clamp(max=1)


def train_autoencoders(
    model: AnalysisBySynthesis, train: Dataset, epochs: int, *, binarised: bool, show_progress: bool
) -> None:
    """Fit the autoencoder of each class to the images of that class.

    Args:
        model: is trained, and left on the CPU in evaluation mode.
        train: training images of every class.
        epochs: passes over the largest class; the others are gone through as often or more often.
        binarised: images are rounded to black and white.
        show_progress: draw a progress bar.
    """
    device = best_device()
    model.to(device).train()
    members = [np.flatnonzero(train.labels == label) for label in range(train.num_classes)]
    largest = max(len(rows) for rows in members)
    size = min(_BATCH, largest)
    steps = largest // size
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * epochs)
    with progress.bar(show_progress) as bar:
        task = bar.add_task("training the baseline", total=steps * epochs)
        for epoch in range(epochs):
            generator = stream(0, Stage.BASELINE_TRAINING, epoch + 1)
            orders = [np.resize(generator.permutation(rows), steps * size) for rows in members]
            for batch in np.split(np.stack(orders), steps, axis=1):
                x = train.batch(batch.flatten()).view(*batch.shape, -1).to(device)
                if binarised:
                    x = (x > 0.5).to(x.dtype)
                noise = generator.standard_normal((*batch.shape, _LATENT)).astype(np.float32)
                loss = _training_loss(model, x, torch.from_numpy(noise).to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                bar.update(task, advance=1)
    model.cpu().eval()


def _training_loss(model: AnalysisBySynthesis, x: Tensor, noise: Tensor) -> Tensor:
    """Minus the evidence lower bound (Kingma and Welling 2014) of `(classes, batch, features)`."""
    mean, log_variance = model.encoder(x)[-1].chunk(2, dim=2)
    latents = mean + (log_variance / 2).exp() * noise
    error = (model.decoder(latents)[-1].sigmoid() - x).square().sum(dim=2)
    divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=2) / 2
    loss: Tensor = (error + _KL_WEIGHT * divergence).mean(dim=1).sum()
    return loss
