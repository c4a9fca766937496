"""What every attack has in common: one image after another, each success confirmed.

An attack is a search for fooling versions of an image. What it finds is tried from the smallest
change to the largest with fresh ballots, and the first that fools them is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sparsecert.attacks.ballots import BallotQueries
from sparsecert.attacks.plain import PlainClassifier, PlainQueries
from sparsecert.attacks.query import Queries
from sparsecert.attacks.reading import READINGS
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError, as_integer, check_alpha, check_num_samples
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage, stream

Victim = SmoothedClassifier | PlainClassifier
# A search gets the image's queries, the largest size allowed, and a source of randomness.
Search = Callable[[Queries, int, np.random.Generator], Iterable[Tensor]]
# Of a changed image and the original.
Measure = Callable[[Tensor, Tensor], int]


@dataclass(frozen=True)
class Probe:
    """The procedure that is attacked, PREDICT, and the ballots a search uses of its own.

    Attributes:
        num_samples: n, ablations per prediction.
        alpha: PREDICT's probability of a wrong answer; a smaller one abstains more often.
        num_search: ballots by which a search tells better from worse.
        num_gradient: ballots that one gradient is averaged over.
        rule: whose PREDICT it is, a key of `READINGS`; margin's is majority's.

    Raises:
        InputError: for numbers out of range, or an unknown rule.
    """

    num_samples: int = 10_000
    alpha: float = 0.05
    num_search: int = 1_000
    num_gradient: int = 256
    rule: str = "majority"

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.rule not in READINGS:
            raise InputError(
                f"expected a rule to attack out of {', '.join(READINGS)}, got {self.rule!r}"
            )
        for name in ("num_samples", "num_search", "num_gradient"):
            check_num_samples(getattr(self, name), name)


DEFAULT_PROBE = Probe()


@dataclass(frozen=True)
class AttackResult:
    """What became of a batch of images.

    Attributes:
        adversarial: `(batch, ...)` images that fool the classifier; where none was found, the
            image itself.
        size: `(batch,)` changed features (pixels, all channels together), or the number of the
            size that holds the change, of those that a threat lists; 0 where the unchanged
            image is misclassified or abstained on, -1 where the attack failed.
        label: `(batch,)` the class that fresh ballots give the adversarial image, or `ABSTAIN`.
        queries: `(batch,)` questions asked.
        drawn: `(batch,)` ballots that went through the network; 0 for deterministic classifiers.
        cached: `(batch,)` ballots saved, as they retain no changed feature.
        skipped: `(batch,)` ballots saved, as the answer was decided before them.
        confirmations: `(batch,)` images tried with fresh ballots, the unchanged one included.
    """

    adversarial: Tensor
    size: NDArray[np.int64]
    label: NDArray[np.int64]
    queries: NDArray[np.int64]
    drawn: NDArray[np.int64]
    cached: NDArray[np.int64]
    skipped: NDArray[np.int64]
    confirmations: NDArray[np.int64]

    @property
    def success(self) -> NDArray[np.bool_]:
        """`(batch,)` whether a fooling image was found."""
        return np.asarray(self.size >= 0)

    def take(self, rows: NDArray[np.int64]) -> AttackResult:
        """The images at these rows."""
        return AttackResult(*(getattr(self, field.name)[rows] for field in fields(self)))


def attack_each(
    victim: Victim,
    images: Tensor,
    labels: ArrayLike,
    budget: int | None,
    search: Search,
    *,
    probe: Probe,
    seed: int,
    indices: Sequence[int] | NDArray[np.int64] | None,
    measure: Measure | None = None,
) -> AttackResult:
    """Search for fooling versions of each image, and confirm the smallest.

    Args:
        victim: the attacked classifier.
        images: inputs as the classifier takes them.
        labels: `(batch,)` correct classes.
        budget: the largest number of changed features that counts; any by default.
        search: gives images that should fool the classifier; of several of one size, the first is
            tried.
        probe: the attacked procedure.
        seed: names the random streams, together with `indices`.
        indices: each image's index in its data set; 0, 1, ... by default.
        measure: the size of a change; by default the number of changed features.

    Raises:
        InputError: for labels that are no classes, or do not match the images, or a budget under 1,
            or images that the classifier does not take.
    """
    targets = _checked_labels(labels, len(images), victim.num_classes)
    names = list(range(len(images)) if indices is None else map(int, indices))
    if len(names) != len(images):
        raise InputError(f"expected one index for each of {len(images)} images, got {len(names)}")
    if budget is not None and as_integer(budget, "budget") < 1:
        raise InputError(f"expected a budget of at least 1 feature, or none, got {budget}")
    most = budget or UniformAblation.features_of(tuple(images.shape[1:]))
    adversarial, numbers = images.clone(), np.zeros((len(images), 7), dtype=np.int64)
    for row, (label, name) in enumerate(zip(targets, names, strict=True)):
        queries = _queries(victim, images[row : row + 1], int(label), probe, seed, name)
        generator = stream(seed, Stage.ATTACK_MOVES, name)
        adversarial[row], size, found = _attack(
            queries, most, search, generator, measure or queries.units.num_changed
        )
        numbers[row] = size, found, *astuple(queries.cost)
    return AttackResult(adversarial, *numbers.T)


def _attack(
    queries: Queries,
    budget: int,
    search: Search,
    generator: np.random.Generator,
    measure: Measure,
) -> tuple[Tensor, int, int]:
    """The smallest confirmed image, its size, and its class."""
    unchanged = queries.confirm(queries.original)
    if unchanged != queries.label:
        return queries.original, 0, unchanged
    by_size: dict[int, Tensor] = {}
    for image in search(queries, budget, generator):
        by_size.setdefault(measure(image, queries.original), image)
    for size in sorted(by_size):
        if size > budget:
            break
        found = queries.confirm(by_size[size])
        if found != queries.label:
            return by_size[size], size, found
    return queries.original, -1, unchanged


def _queries(
    victim: Victim, image: Tensor, label: int, probe: Probe, seed: int, index: int
) -> Queries:
    if isinstance(victim, PlainClassifier):
        return PlainQueries(victim, image, label)
    return BallotQueries(
        victim,
        image,
        label,
        num_samples=probe.num_samples,
        alpha=probe.alpha,
        seed=seed,
        index=index,
        num_search=probe.num_search,
        num_gradient=probe.num_gradient,
        rule=probe.rule,
    )


def _checked_labels(labels: ArrayLike, number: int, num_classes: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (number,) or (number and not np.issubdtype(array.dtype, np.integer)):
        raise InputError(
            f"expected one integer label for each of {number} images, "
            f"got shape {array.shape} and dtype {array.dtype}"
        )
    if number and (array.min() < 0 or array.max() >= num_classes):
        raise InputError(
            f"expected labels in 0..{num_classes - 1}, got values from {array.min()} "
            f"to {array.max()}"
        )
    return array.astype(np.int64)
