"""Sparse-RS (Croce et al. 2022), a random search, on shares of votes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim, attack_each
from sparsecert.attacks.query import Queries, Version, without_least
from sparsecert.attacks.reset import found_images, reset_features
from sparsecert.errors import check_num_samples

# Share of the changed pixels that a step moves, by the share of steps done: large moves first.
_MOVED = ((0.0, 0.5), (0.02, 0.3), (0.1, 0.15), (0.3, 0.08), (0.6, 0.0))
_FIRST_SHARE = 1 / 16  # of all pixels, to begin with


def sparse_rs_attack(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None = None,
    *,
    steps: int = 300,
    probe: Probe = DEFAULT_PROBE,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> AttackResult:
    """Move a fixed number of changed pixels about at random, keeping what lowers the lead.

    The changed pixels are black or white in each channel. A step resets some of them and changes
    as many others, and is kept if the correct class's share of votes, less the best rival's, does
    not rise; both are counted on the same ablations. Where an image is misclassified, pixels that
    are not needed are reset, the one that matters least is taken out, and the search goes on with
    what is left, until `steps` steps in a row bring no success.

    Args:
        victim: the attacked classifier.
        images: `(batch, channels, height, width)` or `(batch, features)` in [0, 1].
        labels: `(batch,)` correct classes.
        budget: the largest number of changed pixels: where the search starts. By default it
            starts at a sixteenth of all pixels, and doubles that until it succeeds.
        steps: steps without success that end the search at one number of pixels.
        probe: the attacked procedure; `num_search` ballots compare images.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.

    Raises:
        InputError: for input that the classifier does not take, or labels that do not match.
    """
    check_num_samples(steps, "steps")

    def search(queries: Queries, most: int, generator: np.random.Generator) -> Iterator[Tensor]:
        d = queries.units.number
        size = most if budget is not None else max(1, round(d * _FIRST_SHARE))
        found = None
        while found is None:
            start = _scattered(queries, min(size, most), generator)
            found = _walk(queries, start, steps, generator)
            if size >= most:
                break
            size *= 2
        while found is not None:
            (descent,) = reset_features(queries, [found], generator)
            yield from found_images([descent])
            smaller = without_least(queries, descent.current, queries.lead)
            found = None if smaller is None else _walk(queries, smaller, steps, generator)

    return attack_each(
        victim, images, labels, budget, search, probe=probe, seed=seed, indices=indices
    )


def _walk(
    queries: Queries, version: Version, steps: int, generator: np.random.Generator
) -> Version | None:
    """Move changed pixels until the image fools, or for that many steps."""
    lead = queries.lead([version])[0]
    if lead <= 0 and queries.fooled([version], strict=True)[0]:
        return version
    for step in range(steps):
        moved = _move(queries, version, step / steps, generator)
        moved_lead = queries.lead([moved])[0]
        if moved_lead > lead:
            continue
        version, lead = moved, moved_lead
        if lead <= 0 and queries.fooled([version], strict=True)[0]:
            return version
    return None


def _move(
    queries: Queries, version: Version, progress: float, generator: np.random.Generator
) -> Version:
    """Reset some changed pixels, and change as many others."""
    changed = queries.units.changed(version.image, queries.original)
    share = next(share for begin, share in reversed(_MOVED) if progress >= begin)
    number = max(1, round(share * np.count_nonzero(changed)))
    dropped = _some(changed, number, generator)
    added = _some(~changed | dropped, number, generator)
    without = queries.units.replaced(version.image, queries.original, dropped)
    image = queries.units.replaced(without, _corners(queries.original, generator), added)
    return queries.change(version, image, np.flatnonzero(dropped | added))


def _scattered(queries: Queries, number: int, generator: np.random.Generator) -> Version:
    """A number of pixels changed at random."""
    every = np.ones(queries.units.number, dtype=np.bool_)
    chosen = _some(every, number, generator)
    image = queries.units.replaced(queries.original, _corners(queries.original, generator), chosen)
    return queries.version(image)


def _some(
    features: NDArray[np.bool_], number: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """That many of these features, or all if there are fewer."""
    places = np.flatnonzero(features)
    chosen = np.zeros_like(features)
    chosen[generator.choice(places, min(number, len(places)), replace=False)] = True
    return chosen


def _corners(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Black or white at random in each channel of each pixel, but never the pixel's own value."""
    corner = torch.from_numpy(generator.integers(0, 2, size=tuple(image.shape))).to(image)
    same = corner == image if image.ndim == 1 else (corner == image).all(dim=0, keepdim=True)
    return torch.where(same, 1 - corner, corner)
