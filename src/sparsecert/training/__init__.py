"""Fitting a base classifier to ablated inputs; needs no folder."""

from __future__ import annotations

from typing import Literal

RecipeName = Literal["fast", "paper", "radius"]
Augmentation = Literal["none", "crop-flip", "warp-colour"]
Mixing = Literal["none", "cutmix", "mixup"]
