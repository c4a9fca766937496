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
from sparsecert.errors import InputError
from sparsecert.procedures.execution import Execution
from sparsecert.procedures.procedure import Procedure, RunImages
from sparsecert.procedures.run import load_evaluation_data, store_of
from sparsecert.submissions.submission import Submission
from sparsecert.votes.ballots import Ballots
from sparsecert.votes.store import VoteSettings, VoteStore
from sparsecert.votes.tally import Tally

# Of an image's ballots; and so many at least, for an image may have few.
_MOST_DIFFERENT, _FEW = 0.01, 2


@dataclass(frozen=True)
class Recount:
    """What counting again gave.

    Attributes:
        indices: `(images,)` of the images, in the data set.
        num_ballots: that were compared.
        most_different: the largest share of an image's ballots that came out otherwise.
        reasons: to refuse the submission, each a sentence.
    """

    indices: NDArray[np.int64]
    num_ballots: int
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
        InputError: for votes of an older sampler, which nothing counts again.
        RunFolderError: for weights that are damaged.
    """
    dataset = load_evaluation_data(submission.run, submission.dataset.name)
    counted: dict[VoteSettings, NDArray[np.int64]] = {}
    with tempfile.TemporaryDirectory(prefix="sparsecert-") as place:
        again = submission.run.copied_to(Path(place) / "run")
        drawn = np.random.default_rng()
        for procedure, images in read:
            settings = procedure.votes_settings(images)
            known = [counted[each] for each in settings if each in counted]
            here = np.intersect1d(images.indices, known[0]) if known else images.indices[:0]
            if not len(here):  # records of the same votes share the images
                size = min(num_images, len(images.indices))
                here = np.sort(drawn.choice(images.indices, size, replace=False))
            _check_sampler(submission, settings, here)
            procedure.count(RunImages(again, dataset, here), execution)
            for each in settings:
                counted[each] = np.union1d(counted.get(each, here), here)
        stores = submission.store, store_of(again, len(dataset))
        found = [_compare(*stores, each, rows) for each, rows in counted.items()]
    return Recount(
        np.unique(np.concatenate(list(counted.values()))),
        sum(each.num_ballots for each in found),
        max(each.most_different for each in found),
        tuple(reason for each in found for reason in each.reasons),
    )


def _check_sampler(
    submission: Submission, settings: Iterable[VoteSettings], indices: NDArray[np.int64]
) -> None:
    for each in settings:
        if submission.store.is_older(each, indices).any():
            raise InputError(
                f"expected votes on ablations that this version of sparsecert draws, to count them "
                f"again, got {each.name} votes of an older one in {submission.run.path}"
            )


def _compare(
    theirs: VoteStore[Any, Any],
    ours: VoteStore[Any, Any],
    settings: VoteSettings,
    indices: NDArray[np.int64],
) -> Recount:
    """Compare what two folders hold of these images under the same settings."""
    moved, total = different_ballots(
        *(
            stored.take(np.searchsorted(stored.indices, indices)).votes
            for stored in (theirs.read(settings), ours.read(settings))
        )
    )
    reasons = tuple(
        f"expected the {settings.name} votes on image {indices[row]} as its weights cast them, got "
        f"{moved[row]:,} of {total[row]:,} others"
        for row in np.flatnonzero((moved > _FEW) & (moved > _MOST_DIFFERENT * total))
    )
    return Recount(indices, int(total.sum()), float((moved / total).max()), reasons)


def different_ballots(
    theirs: Tally | Ballots, ours: Tally | Ballots
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many ballots on each image differ at least, and of how many.

    Of ballots that were counted only sums are known. Where counting went further on one side, those
    up to the last look of both are compared.

    Returns:
        `(images,)` integers each.
    """
    if isinstance(theirs, Ballots) and isinstance(ours, Ballots):
        other = (theirs.ranks != ours.ranks).any(axis=2).sum(axis=1)
        return other, np.full(len(other), theirs.ranks.shape[1])
    assert isinstance(theirs, Tally) and isinstance(ours, Tally)  # noqa: PT018
    rows = np.arange(len(theirs))
    look = np.minimum(theirs.num_reached, ours.num_reached) - 1

    def at_look(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return counts if theirs.looks is None else counts[rows, look]

    first = [at_look(tally.first_choice) for tally in (theirs, ours)]
    moved = np.abs(first[0] - first[1]).sum(axis=1) // 2
    if theirs.head_to_head is not None and ours.head_to_head is not None:
        pairs = np.abs(at_look(theirs.head_to_head) - at_look(ours.head_to_head)).max(axis=(1, 2))
        tracked = theirs.tracked_classes
        if tracked is not None and ours.tracked_classes is not None:
            pairs[(tracked != ours.tracked_classes).any(axis=1)] = 0
        moved = np.maximum(moved, pairs)
    return moved, first[0].sum(axis=1)
