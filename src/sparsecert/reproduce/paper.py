"""Rows of the paper's tables: the experiment, what the authors measured, what was measured here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sparsecert.designs.threats import Threat, threat_of
from sparsecert.records.record import ATTACK, BASE_ACCURACY, BEYOND, SMOOTHED
from sparsecert.report import tables

# Pixels of an image. A record of other units, or of other images, has another number.
_FEATURES = {"mnist": 28 * 28, "cifar10": 32 * 32, "imagenet": 224 * 224}
_SHORT = {"num_retained": "k", "keep_probability": "kappa", "num_values": "values"}


@dataclass(frozen=True, kw_only=True)
class PaperClassifier:
    """A trained base classifier of the paper.

    Attributes:
        label: what tells it from the other rows of its table.
        dataset: as `sparsecert.data.load` takes it.
        settings: of the design: num_retained, or keep_probability and num_values.
        design: a key of `designs.DESIGNS`.
        encoding: of NULL.
        architecture: of the base classifier; None for the recipe's own choice.
        architecture_matters: whether a record of another network does not repeat the row.
    """

    label: str
    dataset: str
    settings: Mapping[str, Any]
    design: str = "uniform"
    encoding: str = "two-channel"
    architecture: str | None = None
    architecture_matters: bool = True

    KIND: ClassVar[str | None] = None  # of the records that repeat it

    @property
    def folder_name(self) -> str:
        """A name for the run, which rows that differ in the procedure alone share."""
        settings = (f"{_SHORT[name]}{value}" for name, value in self.settings.items())
        architecture = self.architecture or "default"
        return "-".join([self.dataset, *settings, self.encoding, architecture])

    @property
    def _wanted(self) -> dict[str, Any]:
        """What a record says that repeats this row."""
        named = self.architecture is not None and self.architecture_matters
        features = _FEATURES.get(self.dataset)
        return {
            "kind": self.KIND,
            "dataset": self.dataset,
            "design": self.design,
            "encoding": self.encoding,
            **self.settings,
            **({"architecture": self.architecture} if named else {}),
            **({} if features is None else {"num_features": features}),
        }

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record repeats this row, whatever its recipe and number of images.

        Certificates may be by any rule and either plan of sampling, attacks any on the majority's
        class.
        """
        return all(record.get(name) == value for name, value in self._wanted.items())


@dataclass(frozen=True, kw_only=True)
class CertifiedRow(PaperClassifier):
    """A smoothed classifier and its certificates.

    Attributes:
        num_selection: n0.
        num_samples: n.
        alpha: error probability.
        accuracy: share classified correctly, in percent; None where the paper does not say.
        abstained: share of abstentions, in percent.
        median: median certified robustness, in pixels; None is N/A.
    """

    num_selection: int = 1_000
    num_samples: int = 10_000
    alpha: float = 0.05
    median: int | None
    accuracy: float | None = None
    abstained: float | None = None

    SUBJECT: ClassVar = "certificates"
    COLUMNS: ClassVar = (
        "classifier",
        "images",
        "accuracy",
        "abstained",
        "median certified pixels",
        "certified at it",
    )

    @property
    def _wanted(self) -> dict[str, Any]:
        names = ("num_selection", "num_samples", "alpha")
        return {**super()._wanted, **{name: getattr(self, name) for name in names}}

    def paper_cells(self) -> tuple[str, ...]:
        """The paper's values, one for each of `COLUMNS`."""
        accuracy, abstained = (
            "" if value is None else f"{value:.2f} %" for value in (self.accuracy, self.abstained)
        )
        return ("paper", "", accuracy, abstained, tables.median(self.median), "")

    @staticmethod
    def record_cells(record: Mapping[str, Any]) -> tuple[str, ...]:
        """Values and 95 % intervals of a record, one for each of `COLUMNS`."""
        median = record["median_certified_robustness"]
        shown = tables.median(median, record["intervals"]["median_certified_robustness"])
        authors = record["median_certified_robustness_authors_convention"]
        if authors != median:
            shown += f"; {tables.median(authors)} as the authors count"
        sequential = ", sequential" if record.get("sampling") == "sequential" else ""
        if "target" in record:
            sequential += f" for {record['target']}"
        return (
            f"{_trained(record)}, {record['rule']}{sequential}",
            f"{record['num_images']}",
            _percent(record, "accuracy"),
            _percent(record, "abstained"),
            shown,
            "" if median is None else _percent(record, "certified_accuracy", median),
        )


@dataclass(frozen=True, kw_only=True)
class BaseRow(PaperClassifier):
    """A base classifier on ablated inputs.

    Attributes:
        train: accuracy on ablated training images, in percent.
        test: accuracy on ablated test images, in percent.
    """

    train: float
    test: float

    KIND = BASE_ACCURACY
    SUBJECT: ClassVar = "base classifiers on ablated inputs"
    COLUMNS: ClassVar = ("classifier", "images per split", "training images", "test images")

    def paper_cells(self) -> tuple[str, ...]:
        """The paper's values, one for each of `COLUMNS`."""
        return ("paper", "", f"{self.train:.2f} %", f"{self.test:.2f} %")

    @staticmethod
    def record_cells(record: Mapping[str, Any]) -> tuple[str, ...]:
        """Values and 95 % intervals of a record, one for each of `COLUMNS`."""
        accuracies = (_percent(record, name) for name in ("train_accuracy", "test_accuracy"))
        return (_trained(record), str(record["limit"] or "all"), *accuracies)


@dataclass(frozen=True, kw_only=True)
class AttackedRow(PaperClassifier):
    """A classifier under attack.

    Attributes:
        classifier: "smoothed", or a key of `baselines.BASELINES`.
        accuracy: share classified correctly, in percent.
        median: median attack magnitude, in pixels.
    """

    classifier: str = SMOOTHED
    accuracy: float
    median: float

    KIND = ATTACK
    SUBJECT: ClassVar = "attacks"
    COLUMNS: ClassVar = (
        "classifier",
        "attack",
        "images",
        "accuracy",
        "median attack magnitude, pixels",
        "within a certified radius",
    )

    @property
    def folder_name(self) -> str:
        """A name for the run, or for the baseline's folder."""
        if self.classifier == SMOOTHED:
            return super().folder_name
        return f"{self.dataset}-{self.classifier}"

    @property
    def _wanted(self) -> dict[str, Any]:
        plain = {"kind": self.KIND, "dataset": self.dataset}
        classifier = super()._wanted if self.classifier == SMOOTHED else plain
        return {**classifier, "classifier": self.classifier, "rule": None}

    def paper_cells(self) -> tuple[str, ...]:
        """The paper's values, one for each of `COLUMNS`."""
        return ("paper", "pointwise", "", f"{self.accuracy:.1f} %", f"{self.median:g}", "")

    @staticmethod
    def record_cells(record: Mapping[str, Any]) -> tuple[str, ...]:
        """Values and 95 % intervals of a record, one for each of `COLUMNS`."""
        return (
            _trained(record) if record["classifier"] == SMOOTHED else record["classifier"],
            record["attack"] + (f", {record['rule']} rule" if record["rule"] else ""),
            f"{record['num_images']}",
            _percent(record, "accuracy"),
            tables.magnitude(
                record["median_attack_magnitude"], record["intervals"]["median_attack_magnitude"]
            ),
            tables.within_certificate(record) if record["classifier"] == SMOOTHED else "",
        )


class BeyondRow:
    """Certificates that the paper has none of: of other threats, or of the top K."""

    KIND = BEYOND
    SUBJECT: ClassVar = "other threats, and the top K"
    COLUMNS: ClassVar = ("classifier", "against", "images", "accuracy", "certified accuracy")

    @staticmethod
    def record_cells(record: Mapping[str, Any]) -> tuple[str, ...]:
        """Values and 95 % intervals of a record, one for each of `COLUMNS`."""
        threat = threat_of(record["threat"]) if "threat" in record else Threat()
        rule = record["rule"]
        rule += f", top {record['top']}" if record.get("top", 1) > 1 else ""
        rule += f", abstaining at {record['abstain']:g}" if record.get("abstain") else ""
        if threat.sizes:
            levels = list(range(1, len(threat.sizes) + 1))
        else:
            levels = [record["median_certified_robustness"] or 0]
        shown = (
            f"{threat.name_of(level)}: {_percent(record, 'certified_accuracy', level)}"
            for level in levels
        )
        return (
            f"{_trained(record)}, {rule}",
            threat.kind,
            f"{record['num_images']}",
            _percent(record, "accuracy"),
            "; ".join(shown),
        )


PaperRow = CertifiedRow | BaseRow | AttackedRow
Row = type[CertifiedRow] | type[BaseRow] | type[AttackedRow] | type[BeyondRow]
# By kind of the records.
ROWS: dict[str | None, Row] = {
    row.KIND: row for row in (CertifiedRow, BeyondRow, BaseRow, AttackedRow)
}


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: "table1", ...
        title: what it shows.
        rows: its rows, all of one kind.
        notes: what is left out or differs here, in sentences.
        limit: test images per row unless told otherwise: the paper's number, or what an attack can
            be run on; None for all.
    """

    name: str
    title: str
    rows: tuple[CertifiedRow, ...] | tuple[BaseRow, ...] | tuple[AttackedRow, ...]
    notes: str = ""
    limit: int | None = None

    @property
    def heading(self) -> str:
        """As the paper calls it: "Table 1"."""
        return self.name.replace("table", "Table ")

    @property
    def columns(self) -> tuple[str, ...]:
        """What the cells of its rows are."""
        columns: tuple[str, ...] = self.rows[0].COLUMNS
        return columns


def _trained(record: Mapping[str, Any]) -> str:
    radius = record.get("radius_trained_for")
    earlier = re.findall(r"--radius (\d+)", record.get("command", ""))
    recipe = record["recipe"] + ("" if radius is None else f" {radius}")
    if radius is None and earlier:
        recipe += f" after radius {earlier[-1]}"
    return f"{record['architecture']}, {recipe}, {record['epochs']} epochs"


def _percent(record: Mapping[str, Any], name: str, index: int | None = None) -> str:
    value, ends = record[name], record["intervals"][name]
    if index is not None:
        value, ends = value[index], ends[index]
    return f"{100 * value:.1f} % [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
