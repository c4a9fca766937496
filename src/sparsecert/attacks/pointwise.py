"""The Pointwise attack (Schott et al. 2019), on whole pixels: the attack of the paper's Table 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim, attack_each
from sparsecert.attacks.query import Fools, Queries, Version
from sparsecert.attacks.reset import found_images, reset_features
from sparsecert.errors import check_num_samples


def pointwise_attack(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None = None,
    *,
    repetitions: int = 10,
    probe: Probe = DEFAULT_PROBE,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> AttackResult:
    """Change many pixels until the classifier is fooled, then take back what need not change.

    Each repetition starts from salt-and-pepper noise, black or white in all channels, of the
    least amount that is clearly misclassified, found by doubling and bisection; from misclassified
    noise, where none is so clearly. It then resets pixels to the original's, in random order, as
    long as the image stays misclassified or abstained on, until no single pixel can be reset. Of a
    smoothed classifier's image, only the few starts that come down furthest on a part of the
    ballots are followed to the end. It needs no gradient, and never moves a change from one pixel
    to another.

    Args:
        victim: the attacked classifier.
        images: `(batch, channels, height, width)` or `(batch, features)` in [0, 1].
        labels: `(batch,)` correct classes.
        budget: the largest number of changed pixels that counts; any by default.
        repetitions: starts per image; the smallest result counts.
        probe: the attacked procedure.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.

    Raises:
        InputError: for input that the classifier does not take, or labels that do not match.
    """
    check_num_samples(repetitions, "repetitions")

    def search(queries: Queries, _: int, generator: np.random.Generator) -> Iterator[Tensor]:
        starts = _noise(queries, repetitions, generator)
        yield from found_images(reset_features(queries, starts, generator))

    return attack_each(
        victim, images, labels, budget, search, probe=probe, seed=seed, indices=indices
    )


def _noise(queries: Queries, repetitions: int, generator: np.random.Generator) -> list[Version]:
    """Noise of the least amount that fools, where one does; each amount contains the smaller."""
    image = queries.original
    d = queries.units.number
    order = generator.permuted(np.tile(np.arange(d), (repetitions, 1)), axis=1)
    colour = torch.from_numpy(
        generator.integers(0, 2, size=(repetitions, queries.units.num_entries))
    ).to(image)
    noise = [row if image.ndim == 1 else row.view(1, *image.shape[1:]) for row in colour]

    def noisy(repetition: int, amount: int) -> Version:
        features = order[repetition] < amount
        return queries.version(queries.units.replaced(image, noise[repetition], features))

    least: dict[int, Version] = {}
    low, high = [0] * repetitions, [d] * repetitions

    def ask(fools: Fools, going: list[int], amounts: list[int]) -> None:
        versions = [noisy(row, amount) for row, amount in zip(going, amounts, strict=True)]
        for row, amount, version, hit in zip(
            going, amounts, versions, fools(versions), strict=True
        ):
            if hit:
                least[row], high[row] = version, amount
            else:
                low[row] = amount

    def find_least(fools: Fools) -> None:
        missing = [row for row in range(repetitions) if row not in least]
        for row in missing:
            low[row] = 0
        while going := [row for row in missing if row not in least and low[row] < d]:
            ask(fools, going, [min(max(1, 2 * low[row]), d) for row in going])
        while going := [row for row in missing if row in least and high[row] - low[row] > 1]:
            ask(fools, going, [(low[row] + high[row]) // 2 for row in going])

    find_least(queries.clearly_fooled)
    if queries.abstains:
        find_least(lambda versions: queries.fooled(versions, strict=True))
    return list(least.values())
