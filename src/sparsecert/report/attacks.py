"""The page's part on attacks: from the run's stored attacks and records only."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsecert.attacks.attack import AttackResult
from sparsecert.attacks.campaign import stored_attacks, stored_certificates
from sparsecert.attacks.plan import AttackPlan
from sparsecert.attacks.record import contradictions, read_attack_records
from sparsecert.attacks.summary import median_attack_magnitude, strongest
from sparsecert.data import Dataset
from sparsecert.procedures.procedure import RunImages
from sparsecert.report import tables
from sparsecert.report.figures import attacks_against_radius
from sparsecert.report.words import inputs_of, one_of
from sparsecert.runs.folder import RunFolder
from sparsecert.votes.store import Stored

# Changed features, the name of the attack, and the row of its result.
Change = tuple[int, str, int]


@dataclass(frozen=True)
class FoolingImage:
    """An adversarial example beside its original.

    Attributes:
        index: in the data set.
        attack: that found the smallest change of all, and the attacked rule.
        size: changed features.
        original: the image as it was, in the data set's shape.
        adversarial: the fooling image.
        target: the correct class.
        answer: the class that it is taken for, or "abstains".
    """

    index: int
    attack: str
    size: int
    original: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    target: str
    answer: str


@dataclass(frozen=True)
class AttackSection:
    """What the page shows of a run's attacks.

    Attributes:
        names: of the attacks, and of the strongest on common images.
        rows: of the table: what is told, and of each of them.
        alarms: sentences about successes within certified radii.
        plot: magnitude against certified radius by image; None where nothing is certified.
        results: by name.
    """

    names: list[str]
    rows: list[tuple[str, ...]]
    alarms: list[str]
    plot: Figure | None
    results: dict[str, Stored[AttackResult]]


def attack_section(run: RunFolder, dataset: Dataset, unit: str) -> AttackSection | None:
    """The latest record of each attack on this data set; None if there is none.

    Args:
        run: the run.
        dataset: the certified split.
        unit: what a magnitude counts, "pixels" or "features".
    """
    records = {
        _name(record): record
        for record in read_attack_records(run)
        if record["dataset"] == dataset.name
    }
    if not records:
        return None
    attacks = {
        name: stored_attacks(run, dataset, AttackPlan.from_json(record["plan"]), record["limit"])
        for name, record in records.items()
    }
    cells = {name: dict(tables.attack_rows(record, unit)) for name, record in records.items()}
    heads = tuple(next(iter(cells.values())))
    columns = dict[str, Mapping[str, str]]()
    for rule, names in itertools.groupby(records, key=lambda name: records[name]["rule"]):
        alike = list(names)
        columns |= {name: cells[name] for name in alike}
        parts = [attacks[name] for name in alike if "threat" not in records[name]["plan"]]
        if not parts:
            continue
        common = reduce(np.intersect1d, [part.indices for part in parts])
        if len(parts) > 1 and len(common):
            sizes = [part.votes.size[np.searchsorted(part.indices, common)] for part in parts]
            median = tables.magnitude(median_attack_magnitude(strongest(sizes)))
            name = f"strongest on each {one_of(inputs_of(unit))}{_of(rule)}"
            columns[name] = {inputs_of(unit): str(len(common)), tables.magnitude_head(unit): median}
    return AttackSection(
        names=list(columns),
        rows=[(head, *(cells.get(head, "") for cells in columns.values())) for head in heads],
        alarms=[sentence for record in records.values() for sentence in contradictions(record)],
        plot=_plot(run, dataset, attacks, records, unit),
        results={
            name: part for name, part in attacks.items() if "threat" not in records[name]["plan"]
        },
    )


def smallest_changes(attacks: Mapping[str, Stored[AttackResult]]) -> dict[int, Change]:
    """The smallest change found on each image that was changed, by index.

    Args:
        attacks: by name of the attack and its rule.
    """
    best: dict[int, Change] = {}
    for attack, part in attacks.items():
        for row in map(int, np.flatnonzero(part.votes.size > 0)):
            candidate = (int(part.votes.size[row]), attack, row)
            index = int(part.indices[row])
            best[index] = min(best.get(index, candidate), candidate)
    return best


def fooling_image(
    dataset: Dataset, attacks: Mapping[str, Stored[AttackResult]], index: int, change: Change
) -> FoolingImage:
    """The adversarial example of one of `smallest_changes`.

    Args:
        dataset: the attacked split.
        attacks: by name of the attack and its rule.
        index: of the image.
        change: that was found on it.
    """
    size, attack, row = change
    label = int(attacks[attack].votes.label[row])
    return FoolingImage(
        index,
        attack,
        size,
        dataset.batch([index])[0].numpy(),
        attacks[attack].votes.adversarial[row].numpy(),
        dataset.class_names[dataset.labels[index]],
        "abstains" if label < 0 else dataset.class_names[label],
    )


def _name(record: dict[str, Any]) -> str:
    sizes = f", {record['plan']['threat']}" if "threat" in record["plan"] else ""
    return str(record["attack"]) + sizes + _of(record["rule"])


def _of(rule: str | None) -> str:
    return "" if rule is None else f", {rule} rule"


def _plot(
    run: RunFolder,
    dataset: Dataset,
    attacks: dict[str, Stored[AttackResult]],
    records: dict[str, dict[str, Any]],
    unit: str,
) -> Figure | None:
    points = {}
    for attack, part in attacks.items():
        plan = records[attack]["plan"]
        if "threat" in plan:  # magnitudes of patches are not numbers of units
            continue
        abstain = plan.get("abstain", 0.0)
        certificates = stored_certificates(
            RunImages(run, dataset, part.indices), records[attack]["rule"], abstain=abstain
        )
        if certificates is not None and certificates.stored.any():
            rows = np.flatnonzero(certificates.stored)
            points[attack] = (certificates.radius[rows], part.votes.size[rows])
    return attacks_against_radius(points, unit) if points else None
