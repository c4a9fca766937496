"""A patch, placed where it hurts and painted by gradient and by search; or a window of a vector."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim, attack_each
from sparsecert.attacks.query import InputUnits, Queries
from sparsecert.designs.threats import Threat, threat_of
from sparsecert.errors import InputError, check_num_samples

_PLACES = 6  # that are painted with care, out of all that are tried with noise
_STEP = 0.1  # of the painting, in units of the range of values


def patch_attack(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None = None,
    *,
    threat: str = "patch:5x5",
    steps: int = 40,
    probe: Probe = DEFAULT_PROBE,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> AttackResult:
    """Change one window of each listed size in turn, until one fools.

    Every place is tried with black and white noise. The places where that lowers the lead of the
    correct class most, and those where the gradient is largest, are painted: by steps along the
    gradient's sign, and by a random search that turns rectangles of the patch black, white or back
    and keeps what lowers the lead. A magnitude is the number of the smallest listed size that
    holds all changes.

    Args:
        victim: the attacked classifier.
        images: `(batch, channels, height, width)` or `(batch, features)` in [0, 1].
        labels: `(batch,)` correct classes.
        budget: how many of the sizes are tried; all by default.
        threat: "patch:HxW" or "window:L", sizes perhaps listed.
        steps: along the gradient, and of the search, at each place.
        probe: the attacked procedure.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.

    Raises:
        InputError: for a sparse threat, or what the classifier does not take.
    """
    check_num_samples(steps, "steps")
    sizes = threat_of(threat).sizes
    if not sizes:
        raise InputError(f"expected a threat of patches or windows to attack by, got {threat}")

    def search(queries: Queries, most: int, generator: np.random.Generator) -> Iterator[Tensor]:
        for size in sizes[:most]:
            for image in _candidates(queries, size, steps, generator):
                if queries.fooled([queries.version(image)])[0]:
                    yield image
                    return

    return attack_each(
        victim,
        images,
        labels,
        budget,
        search,
        probe=probe,
        seed=seed,
        indices=indices,
        measure=partial(level_of, threat_of(threat)),
    )


def level_of(threat: Threat, image: Tensor, original: Tensor) -> int:
    """The number of the smallest listed size that holds all changes; one more if none does."""
    shape = (1, len(image)) if image.ndim == 1 else (image.shape[1], image.shape[2])
    changed = InputUnits(image).changed(image, original).reshape(shape)
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(changed.any(axis=axis))
        sides.append(0 if not len(places) else int(places[-1] - places[0]) + 1)
    if not any(sides):
        return 0
    fits = [h >= sides[0] and w >= sides[1] for h, w in threat.sizes]
    return fits.index(True) + 1 if True in fits else len(fits) + 1


def _candidates(
    queries: Queries, size: tuple[int, int], steps: int, generator: np.random.Generator
) -> Iterator[Tensor]:
    """Images that should fool, changed in one window each."""
    original = queries.original
    windows = _windows(original, size)
    noisy = [torch.where(w, _noise(original, generator), original) for w in windows]
    leads = _leads(queries, noisy)
    x = original.clone().requires_grad_()
    lead, _ = queries.soft_lead(x)
    (gradient,) = torch.autograd.grad(lead, x)
    steepness = np.array([float((gradient.abs() * w).sum()) for w in windows])
    order = [*np.argsort(leads)[: _PLACES // 2], *np.argsort(-steepness)[: _PLACES // 2]]
    yield noisy[int(np.argmin(leads))]
    for place in dict.fromkeys(map(int, order)):
        painted = _painted(queries, noisy[place], windows[place], steps)
        yield painted
        yield _searched(queries, painted, windows[place], size, steps, generator)


def _windows(image: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """A mask for every place of the window, in the shape of one channel."""
    height, width = (1, len(image)) if image.ndim == 1 else (image.shape[1], image.shape[2])
    h, w = size
    if h > height or w > width:
        raise InputError(f"expected a patch that fits into {height} x {width}, got {h} x {w}")
    shape, masks = image.shape if image.ndim == 1 else (1, height, width), list[Tensor]()
    for top, left in itertools.product(range(height - h + 1), range(width - w + 1)):
        mask = torch.zeros((height, width), dtype=torch.bool, device=image.device)
        mask[top : top + h, left : left + w] = True
        masks.append(mask.reshape(shape))
    return masks


def _noise(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Black and white."""
    bits = torch.from_numpy(generator.integers(0, 2, tuple(image.shape)))
    return bits.to(image.device, image.dtype)


def _leads(queries: Queries, images: list[Tensor]) -> NDArray[np.float64]:
    parts = [images[start : start + 64] for start in range(0, len(images), 64)]
    return np.concatenate([queries.lead([queries.version(i) for i in part]) for part in parts])


def _painted(queries: Queries, start: Tensor, window: Tensor, steps: int) -> Tensor:
    """Steps along the sign of the gradient of the lead, inside the window; the best of them."""
    image, best, lowest = start, start, float("inf")
    for _ in range(steps):
        x = image.clone().requires_grad_()
        lead, counted = queries.soft_lead(x)
        if counted < lowest:
            best, lowest = image, counted
        (gradient,) = torch.autograd.grad(lead, x)
        moved = (image - _STEP * gradient.sign()).clamp(0, 1)
        image = torch.where(window, moved, image)
    return best


def _searched(
    queries: Queries,
    start: Tensor,
    window: Tensor,
    size: tuple[int, int],
    steps: int,
    generator: np.random.Generator,
) -> Tensor:
    """Rectangles inside the window turned black, white or back, where that lowers the lead."""
    image, lead = start, float(queries.lead([queries.version(start)])[0])
    plane = window.reshape(1, -1) if window.ndim == 1 else window[0]
    top, left = (int(place.min()) for place in torch.nonzero(plane, as_tuple=True))
    for _ in range(steps):
        h, w = (int(generator.integers(1, side + 1)) for side in size)
        y = top + int(generator.integers(0, size[0] - h + 1))
        x = left + int(generator.integers(0, size[1] - w + 1))
        part = torch.zeros_like(plane)
        part[y : y + h, x : x + w] = True
        colour = [torch.zeros_like(image), torch.ones_like(image), queries.original]
        tried = torch.where(part.reshape(window.shape), colour[generator.integers(3)], image)
        found = float(queries.lead([queries.version(tried)])[0])
        if found < lead:
            image, lead = tried, found
    return image
