"""One row of the paper's tables: the experiment, and what the authors measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PaperRow:
    """One smoothed classifier of the paper.

    Attributes:
        label: what tells it from the other rows of its table.
        dataset: as `sparsecert.data.load` takes it.
        settings: of the design: num_retained, or keep_probability and num_values.
        design: a key of `designs.DESIGNS`.
        encoding: of NULL.
        architecture: of the base classifier; None for the recipe's own choice.
        num_selection: n0.
        num_samples: n.
        alpha: error probability.
        accuracy: share classified correctly, in percent; None where the paper does not say.
        abstained: share of abstentions, in percent.
        median: median certified robustness, in pixels; None is N/A.
    """

    label: str
    dataset: str
    settings: Mapping[str, Any]
    median: int | None
    accuracy: float | None = None
    abstained: float | None = None
    design: str = "uniform"
    encoding: str = "two-channel"
    architecture: str | None = None
    num_selection: int = 1_000
    num_samples: int = 10_000
    alpha: float = 0.05

    @property
    def folder_name(self) -> str:
        """A name for the trained run, which rows that differ in the procedure alone share."""
        short = {"num_retained": "k", "keep_probability": "kappa", "num_values": "values"}
        words = [self.dataset, *(f"{short[name]}{value}" for name, value in self.settings.items())]
        return "-".join([*words, self.encoding, self.architecture or "default"])

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a result record repeats this row, whatever its recipe, rule and images."""
        wanted = {
            "dataset": self.dataset,
            "design": self.design,
            "encoding": self.encoding,
            "num_selection": self.num_selection,
            "num_samples": self.num_samples,
            "alpha": self.alpha,
            **self.settings,
        }
        if self.architecture is not None:
            wanted["architecture"] = self.architecture
        return all(record.get(name) == value for name, value in wanted.items())


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: "table1", ...
        title: what it shows.
        rows: its rows.
        notes: what is left out or differs here, in sentences.
    """

    name: str
    title: str
    rows: tuple[PaperRow, ...]
    notes: str = field(default="")
