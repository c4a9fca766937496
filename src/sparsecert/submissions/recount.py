"""Counting some of a submission's votes again, with its weights, where the data set is at hand.

Ablations are functions of seed, stage and image, so the same network casts the same ballots. Only
where two classes all but tie may a ballot come out otherwise on another processor, as sums are
rounded in another order: with float32 hardly ever, with bfloat16 now and then. More differences
than that say that the votes were cast by another network, or on other ablations.

Which images are counted is drawn by the system's own random source: who makes a submission cannot
know them. If a share s of its images have other votes than they should, none of the m that are
counted again is one of them with probability at most (1 - s)^m.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsecert import data
from sparsecert.devices import Precision
from sparsecert.errors import InputError
from sparsecert.procedures.execution import Execution
from sparsecert.procedures.procedure import Procedure, RunImages
from sparsecert.procedures.run import load_evaluation_data, store_of
from sparsecert.submissions.submission import Submission
from sparsecert.votes.ballots import Ballots
from sparsecert.votes.store import VoteSettings, VoteStore
from sparsecert.votes.tally import Tally

# Of the ballots, an image's or all of a recount's, that may come out otherwise by the number format
# of the network's products; and so many may at least.
_MOST_DIFFERENT = {"float32": 0.001, "bfloat16": 0.01}
_FEW = 2
# Where probabilities are compared, by how many steps of 1/255 they may differ, and the share of
# ballots that differ by more: half a step is soon rounded the other way.
_STEPS = {"float32": 0, "bfloat16": 10}
_MOST_OTHER_PROBABILITIES = 0.01


@dataclass(frozen=True)
class Recount:
    """What counting again gave.

    Attributes:
        indices: `(images,)` of the images, in the data set.
        num_ballots: that were compared.
        num_different: of these, how many at least came out otherwise.
        most_different: the largest share of an image's ballots that did.
        reasons: to refuse the submission, each a sentence.
    """

    indices: NDArray[np.int64]
    num_ballots: int
    num_different: int
    most_different: float
    reasons: tuple[str, ...]


def check_recount(submission: Submission, num_images: int) -> None:
    """Raise `InputError` unless votes on so many images can be counted again."""
    if num_images < 1:
        raise InputError(f"expected to count at least 1 image again, got {num_images}")
    if not submission.has_weights:
        raise InputError(
            f"expected a submission with weights, to count its votes again, got "
            f"{submission.run.path} without; `sparsecert submission --weights` writes one"
        )
    if not data.is_at_hand(name := submission.dataset.name):
        raise InputError(
            f"expected the data set {name} at hand, to count votes again; {data.DATA_VARIABLE} "
            "names a folder of data sets"
        )


def check_samplers(submission: Submission, read: Iterable[tuple[Procedure, RunImages]]) -> None:
    """Raise `InputError` for votes of an older sampler, which nothing draws again.

    Args:
        submission: with its records verified.
        read: how each of them was measured, and the images that it is about.
    """
    for procedure, images in read:
        for settings in procedure.votes_settings(images):
            if submission.store.is_older(settings, images.indices).any():
                raise InputError(
                    f"expected votes on ablations that this version of sparsecert draws, to count "
                    f"them again, got {settings.name} votes of an older one in "
                    f"{submission.run.path}"
                )


def recount(
    submission: Submission,
    read: Iterable[tuple[Procedure, RunImages]],
    num_images: int,
    execution: Execution,
) -> Recount:
    """Count the votes on some images again, and compare.

    Args:
        submission: with weights, its records verified.
        read: how each of its records was measured, and the images that it is about.
        num_images: to be drawn of each record's images, or all if they are fewer.
        execution: where.

    Raises:
        InputError: for a network whose answers are no numbers.
        RunFolderError: for weights that are damaged.
    """
    dataset = load_evaluation_data(submission.run, submission.dataset.name)
    counted: dict[VoteSettings, NDArray[np.int64]] = {}
    # Records of the same votes on the same images share those that are drawn.
    drawn: dict[tuple[tuple[VoteSettings, ...], bytes], NDArray[np.int64]] = {}
    with tempfile.TemporaryDirectory(prefix="sparsecert-") as place:
        again = submission.run.copied_to(Path(place) / "run")
        source = np.random.default_rng()
        for procedure, images in read:
            settings = procedure.votes_settings(images)
            size = min(num_images, len(images.indices))
            here = drawn.setdefault(
                (settings, images.indices.tobytes()),
                np.sort(source.choice(images.indices, size, replace=False)),
            )
            procedure.count_as_far(RunImages(again, dataset, here), submission.store, execution)
            for each in settings:
                counted[each] = np.union1d(counted.get(each, here), here)
        stores = submission.store, store_of(again, len(dataset))
        precision = submission.run.config.recipe.precision
        found = [_compare(*stores, each, rows, precision) for each, rows in counted.items()]
    return Recount(
        np.unique(np.concatenate(list(counted.values()))),
        sum(each.num_ballots for each in found),
        sum(each.num_different for each in found),
        max(each.most_different for each in found),
        tuple(reason for each in found for reason in each.reasons),
    )


def _compare(
    theirs: VoteStore[Any, Any],
    ours: VoteStore[Any, Any],
    settings: VoteSettings,
    indices: NDArray[np.int64],
    precision: Precision,
) -> Recount:
    """Compare what two folders hold of these images under the same settings."""
    claimed, found = (
        stored.take(np.searchsorted(stored.indices, indices)).votes
        for stored in (theirs.read(settings), ours.read(settings))
    )
    different, total = different_ballots(claimed, found, _STEPS[precision])
    share = _MOST_DIFFERENT[precision]
    if isinstance(claimed, Ballots) and claimed.has_probabilities.any():
        share = max(share, _MOST_OTHER_PROBABILITIES)

    def too_many(number: NDArray[np.int64], of: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.flatnonzero((number > _FEW) & (number > share * of))

    expected = f"expected the {settings.name} votes on"
    reasons = [
        f"{expected} image {indices[row]} as its weights cast them, got {different[row]:,} of "
        f"{total[row]:,} others"
        for row in too_many(different, total)
    ]
    together = different.sum(), total.sum()
    if not reasons and len(too_many(*map(np.atleast_1d, together))):
        reasons.append(
            f"{expected} the {len(indices)} images that were counted again as its weights cast "
            f"them, got {together[0]:,} of {together[1]:,} others"
        )
    worst = float((different / total).max())
    return Recount(indices, int(together[1]), int(together[0]), worst, tuple(reasons))


def different_ballots(
    theirs: Tally | Ballots, ours: Tally | Ballots, steps: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many ballots on each image differ at least, and of how many.

    Of ballots that were counted only sums are known: those from each look to the next are compared,
    up to the last that both reached. Where a class is tracked there and not here, nothing says what
    its counts should be, and all ballots of the image count as different.

    Args:
        theirs: to be compared.
        ours: with these.
        steps: of 1/255, by which probabilities may differ, where both have them.

    Returns:
        `(images,)` integers each.
    """
    if isinstance(theirs, Ballots) and isinstance(ours, Ballots):
        other = (theirs.ranks != ours.ranks).any(axis=2)
        apart = np.abs(theirs.steps.astype(np.int16) - ours.steps) > steps
        known = theirs.has_probabilities & ours.has_probabilities
        other |= apart.any(axis=2) & known[:, None]
        return other.sum(axis=1), np.full(len(other), other.shape[1])
    assert isinstance(theirs, Tally) and isinstance(ours, Tally)  # noqa: PT018
    both = theirs.reached & ours.reached
    moved = np.abs(_by_look(theirs.first_choice, theirs) - _by_look(ours.first_choice, ours))
    total = np.where(both, _by_look(theirs.first_choice, theirs).sum(axis=2), 0).sum(axis=1)
    different, unknown = moved.sum(axis=2) // 2, np.zeros(len(theirs), dtype=np.bool_)
    if theirs.head_to_head is not None and ours.head_to_head is not None:
        pairs = _by_look(ours.head_to_head, ours)
        if theirs.tracked_classes is not None and ours.tracked_classes is not None:
            listed = theirs.tracked_classes[:, :, None] == ours.tracked_classes[:, None, :]
            tracked = theirs.tracked_classes >= 0
            unknown = (tracked & ~listed.any(axis=2)).any(axis=1)
            pairs = np.take_along_axis(pairs, listed.argmax(axis=2)[:, None, :, None], axis=2)
            pairs = np.where(tracked[:, None, :, None], pairs, 0)
        apart = np.abs(_by_look(theirs.head_to_head, theirs) - pairs)
        different = np.maximum(different, apart.max(axis=(2, 3), initial=0))
    return np.where(unknown, total, np.where(both, different, 0).sum(axis=1)), total


def _by_look(counts: NDArray[np.int64], tally: Tally) -> NDArray[np.int64]:
    """`(batch, looks, ...)` counts from each look to the next, where the later one was reached."""
    if tally.looks is None:
        return counts[:, None]
    return np.diff(counts, axis=1, prepend=0)
