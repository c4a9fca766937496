"""The page's part on attacks: from the run's stored attacks and records only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sparsecert.attacks.campaign import stored_attacks, stored_certificates
from sparsecert.attacks.plan import AttackPlan
from sparsecert.attacks.record import contradictions, read_attack_records
from sparsecert.attacks.store import StoredAttacks
from sparsecert.attacks.summary import median_attack_magnitude, strongest
from sparsecert.data import Dataset
from sparsecert.procedures.procedure import RunImages
from sparsecert.report import tables
from sparsecert.report.figures import attacks_against_radius
from sparsecert.runs.folder import RunFolder

_GALLERY_SIZE = 8


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
        columns: heads of the table.
        rows: its cells, one row for each attack, and one for the strongest on common images.
        alarms: sentences about successes within certified radii.
        plot: magnitude against certified radius by image; None where nothing is certified.
        gallery: the strongest attack's images.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    alarms: list[str]
    plot: Figure | None
    gallery: list[FoolingImage]


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
    rules = {name: record["rule"] for name, record in records.items()}
    rows = []
    for rule, names in itertools.groupby(records, key=lambda name: rules[name]):
        alike = list(names)
        rows += [_cells(name, records[name]) for name in alike]
        common = _common_images([attacks[name] for name in alike])
        if len(alike) > 1 and len(common):
            sizes = [_on(attacks[name], common).size for name in alike]
            median = tables.magnitude(median_attack_magnitude(strongest(sizes)))
            name = f"strongest on each image{_of(rule)}"
            rows.append((name, str(len(common)), "", median, "", "", ""))
    return AttackSection(
        columns=(
            "attack",
            "images",
            "correct when unchanged",
            f"median magnitude ({unit})",
            "within a certified radius",
            "queries per image",
            "ballots drawn",
        ),
        rows=rows,
        alarms=[sentence for record in records.values() for sentence in contradictions(record)],
        plot=_plot(run, dataset, attacks, rules, unit),
        gallery=fooling_images(dataset, attacks, _GALLERY_SIZE),
    )


def fooling_images(
    dataset: Dataset, attacks: dict[str, StoredAttacks], most: int
) -> list[FoolingImage]:
    """The smallest change found on each image, of the first few images that were changed.

    Args:
        dataset: the attacked split.
        attacks: by name of the attack and its rule.
        most: number of images.
    """
    best: dict[int, tuple[int, str, int]] = {}
    for attack, part in attacks.items():
        for row in map(int, np.flatnonzero(part.size > 0)):
            candidate = (int(part.size[row]), attack, row)
            index = int(part.index[row])
            best[index] = min(best.get(index, candidate), candidate)
    shown = []
    for index in sorted(best)[:most]:
        size, attack, row = best[index]
        label = int(attacks[attack].label[row])
        shown.append(
            FoolingImage(
                index,
                attack,
                size,
                dataset.batch([index])[0].numpy(),
                attacks[attack].adversarial[row].reshape(dataset.input_shape),
                dataset.class_names[dataset.labels[index]],
                "abstains" if label < 0 else dataset.class_names[label],
            )
        )
    return shown


def _name(record: dict[str, Any]) -> str:
    return str(record["attack"]) + _of(record["rule"])


def _of(rule: str | None) -> str:
    return "" if rule is None else f", {rule} rule"


def _cells(name: str, record: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        str(record["num_images"]),
        f"{record['accuracy']:.1%}",
        tables.median_magnitude(record),
        tables.within_certificate(record),
        f"{record['queries'] / record['num_images']:.0f}",
        tables.ballots(record),
    )


def _common_images(attacks: list[StoredAttacks]) -> NDArray[np.int64]:
    common = attacks[0].index
    for part in attacks[1:]:
        common = np.intersect1d(common, part.index)
    return common


def _on(attacks: StoredAttacks, indices: NDArray[np.int64]) -> StoredAttacks:
    return attacks.take(np.searchsorted(attacks.index, indices))


def _plot(
    run: RunFolder,
    dataset: Dataset,
    attacks: dict[str, StoredAttacks],
    rules: dict[str, str | None],
    unit: str,
) -> Figure | None:
    points = {}
    for attack, part in attacks.items():
        certificates = stored_certificates(RunImages(run, dataset, part.index), rules[attack])
        if certificates is not None and certificates.stored.any():
            rows = np.flatnonzero(certificates.stored)
            points[attack] = (certificates.radius[rows], part.size[rows])
    return attacks_against_radius(points, unit) if points else None
