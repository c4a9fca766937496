"""Training recipes: every choice that training makes beside the model, the data and k."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn, optim

from sparsecert.devices import Precision, check_precision
from sparsecert.errors import InputError, as_integer
from sparsecert.training import Augmentation, Mixing


@dataclass(frozen=True)
class Recipe:
    """How a base classifier is trained.

    Attributes:
        name: what the command line calls it.
        epochs: passes over the training set; 0 leaves the weights as they are.
        batch_size: examples per step, over all processes together.
        optimizer: SGD with momentum 0.9, or AdamW.
        learning_rate: the highest one.
        schedule: "step" divides the rate by 10 at each of `drops`; "cosine" warms up linearly for
            a share `warmup` of the steps and then falls to zero along a cosine.
        weight_decay: as the optimiser defines it.
        mask_per: one retained set for the whole minibatch (the paper), or one per example.
        augmentation: a key of `augmentation.AUGMENTATIONS`, or "random-part" for large images,
            which happens as they are decoded.
        drops: shares of the steps after which the rate falls; step schedule only.
        warmup: share of the steps with a rising rate; cosine schedule only.
        precision: number format of the network's products, in training and in voting.
        objective: "cross-entropy" of single ballots, or "radius", the loss of certificates
            (`objective.certificate_loss`).
        masks_per_example: retained sets on which each example of a step is seen.
        radius: pixels or features to be certified; objective "radius" only.
        label_smoothing: share of the target that is spread over all classes; cross-entropy only.
        decayed: weight decay is for "all" parameters, or for "matrices" and other parameters of
            several dimensions, not for biases and the scales of normalisation.
        retained_range: random ablation only. Instead of k features each example retains a number
            that is log-uniform between these shares of k, so that one network serves many k.
        weight_average: the weights that training ends with are means over its steps, each with
            this share of the weight of the next; 0 for the last step's.
        mixing: how an example is made of two, if it is; cross-entropy only.
    """

    name: str
    epochs: int
    batch_size: int
    optimizer: Literal["sgd", "adamw"]
    learning_rate: float
    schedule: Literal["step", "cosine"]
    weight_decay: float
    mask_per: Literal["batch", "example"]
    augmentation: Literal[Augmentation, "random-part"]
    drops: tuple[float, ...] = ()
    warmup: float = 0.0
    precision: Precision = "float32"
    objective: Literal["cross-entropy", "radius"] = "cross-entropy"
    masks_per_example: int = 1
    radius: int | None = None
    label_smoothing: float = 0.0
    decayed: Literal["all", "matrices"] = "all"
    retained_range: tuple[float, float] | None = None
    weight_average: float = 0.0
    mixing: Mixing = "none"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "masks_per_example"):
            as_integer(getattr(self, name), name)
        if self.radius is not None:
            as_integer(self.radius, "radius")
        if self.epochs < 0 or self.batch_size < 1:
            raise InputError(
                f"expected at least 0 epochs and 1 example per batch, "
                f"got {self.epochs} and {self.batch_size}"
            )
        if self.masks_per_example > 1 and self.mask_per == "batch":
            raise InputError("expected one retained set per batch or several per example, got both")
        check_precision(self.precision)
        if not self.learning_rate > 0:
            raise InputError(f"expected a positive learning rate, got {self.learning_rate}")
        if self.objective == "cross-entropy" and self.radius is not None:
            raise InputError(f"expected a radius only with the recipe radius, got {self.radius}")
        if self.objective == "radius" and self.mixing != "none":
            raise InputError(
                f"expected the recipe radius without mixing, as an image of two classes has no "
                f"certificate to train for, got {self.mixing}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"expected label_smoothing in [0, 1), got {self.label_smoothing}")
        if not 0 <= self.weight_average < 1:
            raise InputError(f"expected weight_average in [0, 1), got {self.weight_average}")
        if self.retained_range is not None:
            low, high = self.retained_range
            if not 0 < low <= high < math.inf:
                raise InputError(
                    f"expected retained_range as two positive shares of k, rising, got {low} and "
                    f"{high}"
                )
            if self.objective == "radius":
                raise InputError(
                    "expected the recipe radius without retained_range: it is for one k"
                )

    def learning_rate_at(self, step: int, num_steps: int) -> float:
        """The learning rate of step 0, 1, ... out of `num_steps`."""
        if self.schedule == "step":
            fallen = sum(step >= drop * num_steps for drop in self.drops)
            return self.learning_rate * 0.1**fallen
        warmup_steps = self.warmup * num_steps
        if step < warmup_steps:
            return self.learning_rate * (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / (num_steps - warmup_steps)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """A fresh optimiser for the model's parameters."""
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for parameter in model.parameters():
            is_decayed = self.decayed == "all" or parameter.ndim > 1
            (decayed if is_decayed else others).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        if self.optimizer == "sgd":
            return optim.SGD(groups, lr=self.learning_rate, momentum=0.9, fused=True)
        return optim.AdamW(groups, lr=self.learning_rate, fused=True)


Kind = Literal["features", "grey", "colour", "large"]

_PAPER = Recipe(
    name="paper",
    epochs=400,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.01,
    schedule="step",
    weight_decay=0.0,
    mask_per="batch",
    augmentation="none",
    drops=(0.5,),
)
_FAST = Recipe(
    name="fast",
    epochs=60,
    batch_size=128,
    optimizer="adamw",
    learning_rate=2e-3,
    schedule="cosine",
    weight_decay=0.02,
    mask_per="example",
    augmentation="none",
    warmup=0.1,
)
_PAPER_LARGE = replace(
    _PAPER,
    epochs=36,
    batch_size=256,
    learning_rate=0.1,
    weight_decay=1e-4,
    augmentation="random-part",
    drops=(21 / 36, 31 / 36),
)
_FAST_IMAGES = replace(_FAST, epochs=150, batch_size=256, weight_decay=0.05, precision="bfloat16")
_RADIUS = replace(
    _FAST_IMAGES,
    name="radius",
    epochs=1,
    batch_size=16,
    learning_rate=2e-4,
    objective="radius",
    masks_per_example=32,
)
RECIPES: dict[str, dict[Kind, Recipe]] = {
    "paper": {
        "features": _PAPER,
        "grey": _PAPER,
        "colour": replace(_PAPER, weight_decay=5e-4, augmentation="crop-flip"),
        "large": _PAPER_LARGE,
    },
    "fast": {
        "features": _FAST,
        "grey": _FAST_IMAGES,
        "colour": replace(
            _FAST_IMAGES,
            epochs=40,
            learning_rate=2.5e-3,
            augmentation="crop-flip",
            label_smoothing=0.1,
            decayed="matrices",
            retained_range=(0.4, 1.4),
        ),
        "large": replace(_PAPER_LARGE, name="fast", mask_per="example", precision="bfloat16"),
    },
    "radius": {
        "features": replace(_RADIUS, epochs=10, precision="float32"),
        "grey": _RADIUS,
        "colour": replace(_RADIUS, augmentation="crop-flip"),
        "large": replace(_RADIUS, batch_size=4, augmentation="random-part"),
    },
}


def recipe_for(name: str, input_shape: tuple[int, ...], *, large: bool = False) -> Recipe:
    """The recipe of that name for inputs of this shape.

    Vectors and images under 16 pixels a side are "features": to move an image of 8 x 8 pixels by
    a fraction of a pixel blurs away what it shows. "large" are images decoded when needed.

    Raises:
        InputError: for an unknown name.
    """
    if name not in RECIPES:
        raise InputError(f"expected recipe to be one of {', '.join(RECIPES)}, got {name!r}")
    if large:
        return RECIPES[name]["large"]
    if len(input_shape) != 3 or min(input_shape[1:]) < 16:
        return RECIPES[name]["features"]
    return RECIPES[name]["grey" if input_shape[0] == 1 else "colour"]
