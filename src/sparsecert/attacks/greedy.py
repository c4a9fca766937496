"""A greedy attack: one feature after another, the best of those that the gradient points to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim, attack_each
from sparsecert.attacks.query import Lead, Queries, Version, take_unit
from sparsecert.attacks.reset import found_images, reset_features
from sparsecert.errors import check_num_samples

CANDIDATES = 24  # features tried at each step
# Steps after the first version that fools, as fresh ballots may be harder to fool than the pool;
# what they change needlessly is reset.
_SURER = 3


def greedy_attack(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None = None,
    *,
    candidates: int = CANDIDATES,
    probe: Probe = DEFAULT_PROBE,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> AttackResult:
    """Add the change that costs the correct class most of its lead, until it is clearly lost.

    At each step the gradient of the soft lead, of a smoothed classifier the average over fresh
    ablations, says what moving each feature to 0 or to 1 would do. The features that promise most
    are tried, each channel at the better end, and the one after which the lead is smallest
    stays. In the end features are reset that need not change. The gradient alone is what JSMA
    (Papernot et al. 2016) follows; to try out what it proposes is cheap here, since one feature is
    in few ballots.

    Args:
        victim: the attacked classifier; gradients must flow to its input.
        images: `(batch, channels, height, width)` or `(batch, features)` in [0, 1].
        labels: `(batch,)` correct classes.
        budget: the largest number of changed features that counts; any by default.
        candidates: features tried at each step.
        probe: the attacked procedure; `num_gradient` ballots give one gradient, `num_search` tell
            which candidate is best.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.

    Raises:
        InputError: for input that the classifier does not take, or labels that do not match.
    """
    check_num_samples(candidates, "candidates")

    def search(queries: Queries, most: int, generator: np.random.Generator) -> Iterator[Tensor]:
        fooling = forward(queries, most, candidates, queries.lead)
        if fooling is not None:
            yield from found_images(reset_features(queries, [fooling], generator))

    return attack_each(
        victim, images, labels, budget, search, probe=probe, seed=seed, indices=indices
    )


def greedy_steps(
    queries: Queries, version: Version, budget: int, candidates: int, lead: Lead
) -> Iterator[Version]:
    """The version after each step from this one, as far as there is something to change.

    Args:
        queries: about the image.
        version: where to start.
        budget: steps at most.
        candidates: features tried at each step.
        lead: tells which of them is best.
    """
    unchanged = ~queries.units.changed(version.image, queries.original)
    for _ in range(min(budget, int(unchanged.sum()))):
        ends, promise = best_ends(queries, version.image)
        order = np.argsort(np.where(unchanged, promise, np.inf), kind="stable")
        tried = order[: min(candidates, int(unchanged.sum()))].tolist()
        versions = [take_unit(queries, version, ends, unit) for unit in tried]
        best = int(lead(versions).argmin())
        version = versions[best]
        unchanged[tried[best]] = False
        yield version


def forward(queries: Queries, budget: int, candidates: int, lead: Lead) -> Version | None:
    """A few steps past the first version that fools clearly; None where the budget ends before.

    The arguments are those of `greedy_steps`.
    """
    fooled_at, last = None, None
    start = queries.version(queries.original)
    for step, last in enumerate(greedy_steps(queries, start, budget, candidates, lead)):
        if fooled_at is None and queries.clearly_fooled([last])[0]:
            # The search fits its image to the first ballots; all of them are harder to please.
            fooled_at = step if queries.fooled([last], strict=True)[0] else None
        if fooled_at is not None and step >= fooled_at + _SURER:
            break
    return None if fooled_at is None else last


def best_ends(queries: Queries, image: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
    """Each value's better end, 0 or 1, and by unit what going there promises for the lead."""
    moving = image.clone().requires_grad_()
    soft, _ = queries.soft_lead(moving)
    (gradient,) = torch.autograd.grad(soft, moving)
    known = image.nan_to_num()  # what is missing has no gradient, so it promises nothing
    up, down = gradient * (1 - known), -gradient * known
    ends = (up < down).to(image)
    promise = torch.minimum(up, down)
    return ends, queries.units.sums(promise).double().cpu().numpy()
