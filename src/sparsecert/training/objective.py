"""The loss of certificates, which the recipe `radius` minimises.

It trains for the `pairwise` rule of random ablation, as MACER (Zhai et al. 2020) does for
Gaussian noise. That rule certifies rho pixels if, against every other class b, the share p_b of
retained sets on which the label is above b exceeds 1/2 + Delta(d, k, rho). Cross-entropy asks each
ballot to be right, also those of images that are certified anyway or will never be. This loss
asks the shares to pass their thresholds: with s(u) = 1 / (1 + exp(-u)), p_b estimated as the
mean of s(margin / 0.3) over an image's ballots, and q a smooth minimum of p_b over b,

    loss = (1 - s((q - 1/2 - Delta - 0.006) / 0.05)) + 1/2 (1 - s((q - 1/2 - 0.02) / 0.05)).

The first term is for the radius, the second for the prediction; 0.006 and 0.02 stand for what an
estimate of a share loses to its confidence bound. The share of one image must be seen by many
ballots at once, as the loss of a mean is not the mean of losses. Nothing about a certificate
changes: it holds for whatever base classifier comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from sparsecert.designs.design import Design
from sparsecert.designs.uniform import random_ablation
from sparsecert.errors import InputError
from sparsecert.training.recipes import Recipe

_MARGIN_SCALE = 0.3  # of a difference of logits
_SHARE_SCALE = 0.05  # of a share against its threshold
# Of the smooth minimum: it lies up to 0.04 below nine rivals that are alike, or more of them.
_SHARPNESS = 60.0
_LOST_TO_CONFIDENCE, _LOST_TO_ABSTENTION = 0.006, 0.02
_ACCURACY_WEIGHT = 0.5


def build_loss(recipe: Recipe, design: Design) -> Callable[[Tensor, Tensor], Tensor]:
    """What a recipe minimises: a function of `(ballots, classes)` logits and `(ballots,)` labels.

    The ballots of an example stand one after the other.

    Raises:
        InputError: for the recipe radius without a radius that can be certified.
    """
    if recipe.objective == "cross-entropy":
        return partial(functional.cross_entropy, label_smoothing=recipe.label_smoothing)
    ablation = random_ablation(design, "the recipe radius")
    thresholds = ablation.share_thresholds()
    furthest = int((thresholds < 1).sum()) - 1
    if recipe.radius is None or not 0 <= recipe.radius <= furthest:
        raise InputError(
            f"expected a radius from 0 to {furthest}, which is as far as {ablation} can certify, "
            f"got {recipe.radius}"
        )
    threshold = float(thresholds[recipe.radius])
    masks = recipe.masks_per_example

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return certificate_loss(logits.view(-1, masks, logits.shape[1]), labels[::masks], threshold)

    return loss


def certificate_loss(
    logits: Float[Tensor, "images masks classes"],
    labels: Int[Tensor, " images"],
    threshold: float,
) -> Float[Tensor, ""]:
    """The loss of the certificates of some images, each seen through many retained sets.

    Args:
        logits: of the base classifier.
        labels: correct classes.
        threshold: 1/2 + Delta(d, k, rho) for the radius rho to be certified.
    """
    shares = soft_shares(logits.float(), labels)
    sharpness = _SHARPNESS * max(1.0, math.log(shares.shape[1]) / math.log(9))
    lowest = -torch.logsumexp(-sharpness * shares, dim=1) / sharpness
    certified = torch.sigmoid((lowest - threshold - _LOST_TO_CONFIDENCE) / _SHARE_SCALE)
    right = torch.sigmoid((lowest - 0.5 - _LOST_TO_ABSTENTION) / _SHARE_SCALE)
    return ((1 - certified) + _ACCURACY_WEIGHT * (1 - right)).mean()


def soft_shares(
    logits: Float[Tensor, "images masks classes"], labels: Int[Tensor, " images"]
) -> Float[Tensor, "images rivals"]:
    """How often the label is above each other class, counted softly."""
    own = labels[:, None, None].expand(-1, logits.shape[1], 1)
    shares = torch.sigmoid((logits.gather(2, own) - logits) / _MARGIN_SCALE).mean(dim=1)
    others = functional.one_hot(labels, logits.shape[2]) == 0
    return shares[others].view(len(labels), -1)
