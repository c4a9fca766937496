"""The page's gallery: some inputs, ballots on them, and what fools the vote on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sparsecert.attacks.attack import AttackResult
from sparsecert.attacks.query import InputUnits
from sparsecert.data import FeatureRange
from sparsecert.data.columns import shortened
from sparsecert.evaluation import certified_robustness
from sparsecert.procedures.procedure import Measurement
from sparsecert.procedures.run import load
from sparsecert.report.attacks import FoolingImage, fooling_image, smallest_changes
from sparsecert.report.words import counted, withstands
from sparsecert.runs.config import RunConfig
from sparsecert.votes.store import Stored

_SIZE = 8
_BALLOTS = 4


@dataclass(frozen=True)
class Ballot:
    """One view of an input, and the base classifier's answer.

    Attributes:
        image: the input, or its noisy copy.
        mask: what is retained; None for noise.
        retained: the names of what is, for tables.
        answer: class.
        correct: whether it is the right one.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    retained: str
    answer: str
    correct: bool


@dataclass(frozen=True)
class Nearest:
    """The nearest adversarial example that was found.

    Attributes:
        found: the example.
        changed: `(features,)` where it differs.
        size: in words.
        changes: for tables: each changed feature, with its value before and after.
    """

    found: FoolingImage
    changed: NDArray[np.bool_]
    size: str
    changes: list[str]


@dataclass(frozen=True)
class Exhibit:
    """One test input.

    Attributes:
        index: in the data set.
        image: the input.
        target: its class.
        ballots: some.
        votes: the classes with most votes, and their shares.
        prediction: the answer.
        right: whether it is the right one.
        certified: what is, in words.
        nearest: None where none was found.
        attacked: whether one was searched for.
    """

    index: int
    image: NDArray[np.float32]
    target: str
    ballots: list[Ballot]
    votes: list[tuple[str, float]]
    prediction: str
    right: bool
    certified: str
    nearest: Nearest | None
    attacked: bool


def gallery(
    measurement: Measurement, attacks: Mapping[str, Stored[AttackResult]], unit: str
) -> list[Exhibit]:
    """Inputs from the most robust to the misclassified; those that were attacked come first.

    Args:
        measurement: certificates of a run's inputs.
        attacks: on them, by name.
        unit: what a radius counts.
    """
    run, dataset = measurement.images.run, measurement.images.dataset
    smoothed, config = load(run.path), run.config
    names, certification = config.class_names, measurement.certification
    smallest = smallest_changes(attacks)
    attacked = np.concatenate([[-1], *(part.indices for part in attacks.values())])
    exhibits = []
    for row in _chosen(measurement, np.isin(measurement.indices, attacked)):
        index, target = int(measurement.indices[row]), int(measurement.targets[row])
        x = dataset.batch([index])
        drawn, answers = smoothed.few_ballots(x, _BALLOTS, index)
        shown = [(x[0].numpy(), mask) for mask in drawn]
        if not config.design.retains:  # what was drawn is no mask but noise
            noisy = smoothed.encoding(x, torch.from_numpy(drawn))
            shown = [(image.numpy(), None) for image in noisy]
        votes = certification.tally.votes[row]
        predicted = int(measurement.prediction.label[row])
        radius, label = int(certification.radius[row]), names[certification.label[row]]
        found = smallest.get(index)
        exhibits.append(
            Exhibit(
                index=index,
                image=x[0].numpy(),
                target=names[target],
                ballots=[
                    Ballot(*view, _retained(config, view[1]), names[answer], int(answer) == target)
                    for view, answer in zip(shown, answers, strict=True)
                ],
                votes=[
                    (names[c], float(votes[c] / votes.sum()))
                    for c in np.argsort(-votes, kind="stable")[:3]
                ],
                prediction="abstains" if predicted < 0 else names[predicted],
                right=predicted == target,
                certified=("" if radius < 0 else f"{label}, ")
                + withstands(radius, unit, measurement.threat),
                nearest=None
                if found is None
                else _nearest(fooling_image(dataset, attacks, index, found), config, unit),
                attacked=index in attacked,
            )
        )
    return exhibits


def _chosen(measurement: Measurement, attacked: NDArray[np.bool_]) -> list[int]:
    """Rows, from the most robust to the misclassified, evenly spread over that order."""
    certification = measurement.certification
    correct = certification.label == measurement.targets
    order = np.argsort(-certified_robustness(certification.radius, correct), kind="stable")
    first = _evenly(order[attacked[order]], _SIZE)
    others = _evenly(order[~attacked[order]], _SIZE - len(first))
    chosen = {*first, *others}
    return [int(row) for row in order if row in chosen]


def _evenly(rows: NDArray[np.int64], most: int) -> list[int]:
    places = np.linspace(0, len(rows) - 1, min(most, len(rows)), dtype=int)
    return [int(row) for row in rows[places]]


def _retained(config: RunConfig, mask: NDArray[np.bool_] | None) -> str:
    """The names of a row's features that a view retains."""
    if mask is None or len(config.input_shape) != 1:
        return ""
    names = _names(config)
    return shortened([names[place] for place in np.flatnonzero(mask)])


def _nearest(found: FoolingImage, config: RunConfig, unit: str) -> Nearest:
    before, after = torch.from_numpy(found.original), torch.from_numpy(found.adversarial)
    changed = InputUnits(before).changed(before, after)
    changes = []
    if len(config.input_shape) == 1:
        names = _names(config)
        changes = [
            f"{names[place]}: {_value(found.original, place, config.feature_range)} → "
            f"{_value(found.adversarial, place, config.feature_range)}"
            for place in np.flatnonzero(changed).tolist()
        ]
    return Nearest(found, changed, counted(found.size, unit), changes)


def _names(config: RunConfig) -> tuple[str, ...]:
    ends = config.feature_range
    if ends is not None and ends.names is not None:
        return ends.names
    return tuple(f"feature {place}" for place in range(config.input_shape[0]))


def _value(row: NDArray[np.float32], place: int, ends: FeatureRange | None) -> str:
    """A feature as it was before it was scaled."""
    if np.isnan(row[place]):
        return "missing"
    low, high = (0.0, 1.0) if ends is None else (ends.low[place], ends.high[place])
    return f"{low + float(row[place]) * (high - low):.4g}"
