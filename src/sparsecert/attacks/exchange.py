"""Greedy forward, then one feature exchanged for another, as long as fewer and fewer fool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.attack import DEFAULT_PROBE, AttackResult, Probe, Victim, attack_each
from sparsecert.attacks.greedy import CANDIDATES, best_ends, forward, greedy_steps
from sparsecert.attacks.query import Queries, Version, take_unit, without_least
from sparsecert.errors import check_num_samples

_PAIRS = 12  # exchanges tried at first
# Of a smoothed classifier: a larger lead, in mean shares, is not put to the whole pool.
_CLOSE = 0.05


def exchange_attack(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None = None,
    *,
    steps: int = 8,
    candidates: int = 48,
    probe: Probe = DEFAULT_PROBE,
    seed: int = 0,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
) -> AttackResult:
    """Add features as greedily as `greedy_attack`, then exchange them to need fewer.

    From an image that fools, the changed feature that the lead needs least is reset. If the rest
    does not fool, changed features are exchanged for others, one at a time, where that lowers the
    lead; a gradient proposes which, as in `greedy_attack`. As soon as the image fools, the next
    feature is reset, until exchanges fail `steps` times in a row. Feature selection knows this as a
    floating search (Pudil et al. 1994). What is lowered is `Queries.fine_lead`: a
    search that compares many images on few ballots fits its image to these.

    Exchanges end where no single one helps, and where that is depends on where they began. So they
    begin twice, from features added by `fine_lead` and from those that `greedy_attack` adds.

    Args:
        victim: the attacked classifier; gradients must flow to its input.
        images: `(batch, channels, height, width)` or `(batch, features)` in [0, 1].
        labels: `(batch,)` correct classes.
        budget: the largest number of changed features that counts; any by default.
        steps: failures in a row that end the search: the first after the 12 exchanges that promise
            most were tried, the next after 24, and so on.
        candidates: features tried at each step; where exchanges begin as `greedy_attack` does, as
            many as it tries.
        probe: the attacked procedure; `num_gradient` ballots give one gradient, three times
            `num_search` tell which candidate is best.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.

    Raises:
        InputError: for input that the classifier does not take, or labels that do not match.
    """
    check_num_samples(steps, "steps")
    check_num_samples(candidates, "candidates")

    def search(queries: Queries, most: int, _: np.random.Generator) -> Iterator[Tensor]:
        # Exchanges may come back to a budget that was left.
        start = forward(queries, 2 * most, candidates, queries.fine_lead)
        other = forward(queries, 2 * most, CANDIDATES, queries.lead)
        if start and other and torch.equal(start.image, other.image):
            other = None
        for fooling in filter(None, (start, other)):
            found = fewer_and_fewer(queries, fooling, steps, candidates)
            yield from (version.image for version in reversed(found))

    return attack_each(
        victim, images, labels, budget, search, probe=probe, seed=seed, indices=indices
    )


def fewer_and_fewer(
    queries: Queries, version: Version, steps: int, candidates: int
) -> list[Version]:
    """Versions that fool, each with one changed feature less; at last perhaps a better one."""
    found = [version]
    while smaller := without_least(queries, found[-1], queries.fine_lead):
        smaller, fools = _exchanged(queries, smaller, steps, candidates)
        if not fools:
            # What almost fools makes a surer version with one feature more.
            (larger,) = greedy_steps(queries, smaller, 1, candidates, queries.fine_lead)
            last, lead = queries.fine_lead([found[-1], larger])
            return [*found, larger] if lead < last else found
        found.append(smaller)
    return found


def _exchanged(
    queries: Queries, version: Version, steps: int, candidates: int
) -> tuple[Version, bool]:
    """The version after exchanges, and whether it fools."""
    lead, failures = queries.fine_lead([version])[0], 0
    while failures < steps:
        close = lead <= _CLOSE or not queries.abstains
        if not failures and close and queries.fooled([version])[0]:
            return version, True
        promising = _exchanges(queries, version, candidates, _PAIRS * (failures + 1))
        leads = queries.fine_lead(promising)
        best = int(leads.argmin())
        if leads[best] < lead:
            version, lead, failures = promising[best], leads[best], 0
        else:
            failures += 1
    return version, False


def _exchanges(queries: Queries, version: Version, candidates: int, number: int) -> list[Version]:
    """Versions with one feature reset and another changed, as many, the most promising first.

    What an exchange does is taken to be the sum of what its two halves do alone; so the promise of
    every pair costs no more than that of every feature.
    """
    ends, promise = best_ends(queries, version.image)
    changed = queries.units.changed(version.image, queries.original)
    resets = np.flatnonzero(changed)
    order = np.argsort(np.where(changed, np.inf, promise), kind="stable")
    added = order[: min(candidates, len(changed) - len(resets))].tolist()
    less = [take_unit(queries, version, queries.original, unit) for unit in resets.tolist()]
    more = [take_unit(queries, version, ends, unit) for unit in added]
    leads = queries.fine_lead([*less, *more])
    sums = leads[: len(less), None] + leads[None, len(less) :]
    pairs = np.argsort(sums, axis=None, kind="stable")[:number].tolist()
    return [
        take_unit(queries, less[pair // len(more)], ends, added[pair % len(more)]) for pair in pairs
    ]
