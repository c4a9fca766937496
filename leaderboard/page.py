"""Writes docs/leaderboard.md: verified submissions beside the published numbers of others.

    python leaderboard/page.py

Every submission is verified before its numbers are shown; one that does not hold ends the script.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecert.designs.threats import threat_of
from sparsecert.runs.config import RunConfig
from sparsecert.runs.folder import RunFolder
from sparsecert.submissions.verify import verify

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "leaderboard.md"
RADII = (1, 5, 10, 15, 20)
# Data sets in this order, then others.
_TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "imagenet": "ImageNet"}
_INTRODUCTION = """\
# Leaderboard of certified L0 robustness

Classifiers whose predictions are proved against changes of any few inputs, whatever their new
values. A verified row is a [submission](../leaderboard/README.md): a record with the votes that it
was measured by, from which `sparsecert verify` derives every number anew. It cannot show that the
votes were cast by such a network, trained on that data alone ([what is
checked](sharing.md#submissions)); where weights are given, `--recount` shows the former. Rows that
are not verified are from papers. How to submit:
[CONTRIBUTING.md](../CONTRIBUTING.md#submitting-to-the-leaderboard).

In order of the median certified robustness, then of the accuracy; under other threats of the
certified accuracy at the largest one. The median is the largest radius that at least half of the
test images are certified for, with the correct class; a dash is a number that the source does not
give. In brackets: 95 % intervals, for the images are a sample. Each row holds by itself; the best
of several, chosen after seeing them, is not covered by its α. α = 0 holds with certainty, otherwise
each certificate is wrong with probability at most α over its random ablations. Where a rule is
"for" a radius, ballots were counted until that one was decided; the shares certified at others may
be smaller than need be.

This page is written by `python leaderboard/page.py` from `leaderboard/`.
"""


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        table: data set, and what the attacker may do.
        name: of the classifier, with its source.
        levels: what the columns of certified accuracy are called.
        certified: shares at these levels; None where it is not known.
        accuracy: share of correct predictions; None where it is not known.
        median: certified robustness; None is N/A or unknown.
        cells: the other columns as they are shown, by their heads.
    """

    table: tuple[str, str]
    name: str
    levels: tuple[str, ...]
    certified: tuple[float | None, ...]
    accuracy: float | None
    median: int | None
    cells: Mapping[str, str]

    @property
    def rank(self) -> tuple[float, ...]:
        """Rises with merit."""
        best = self.median if self.cells["median"] else self.certified[-1]
        return (-1 if best is None else best, -1 if self.accuracy is None else self.accuracy)


def verified_rows(submissions: Path = HERE / "submissions") -> list[Row]:
    """A row for each record of each submission.

    Raises:
        SystemExit: for a submission that does not hold.
    """
    rows = []
    for path in sorted(submissions.iterdir()):
        verdict = verify(path)
        if not verdict.verified:
            sys.exit(f"{path} is refused: {'; '.join(verdict.reasons)}")
        for name in (path.name, *verdict.records):
            if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
                sys.exit(f"expected letters, digits, dots and hyphens in the name {name!r}")
        config = RunFolder(path).config
        rows += [_of_record(path, name, record, config) for name, record in verdict.records.items()]
    return rows


def _of_record(path: Path, name: str, record: Mapping[str, Any], config: RunConfig) -> Row:
    threat, ends = threat_of(record.get("threat", "sparse")), record["intervals"]
    shares = record["certified_accuracy"]
    unit = config.design.unit(config.input_shape)
    against = f"changed {unit}"
    if given := config.units_given[0]:
        against += f" ({_plain(given)})"
    if protected := (getattr(config.design, "units", None) or ()).count(-1):
        against += f", {protected:,} of {config.design.num_entries:,} protected"
    radii: tuple[int, ...] = RADII
    if threat.sizes:
        radii = tuple(range(1, len(threat.sizes) + 1))
        against = f"one {threat.kind} of {' or '.join(map(threat.name_of, radii))}"
    if record["top"] > 1:
        against += f", top {record['top']}"
    rule = f"`{record['rule']}`"
    if "target" in record:
        rule += f" for {record['target']}"
    median = None if threat.sizes else record["median_certified_robustness"]
    link = f"../leaderboard/submissions/{path.name}/records/{name}.json"
    sets = record["num_samples"] if not record["alpha"] else None
    ballots = record["num_selection"] + record["mean_num_samples"] if sets is None else sets
    return Row(
        (_plain(record["dataset"]), against),
        f"{_plain(str(config.design))}, {rule} ([{path.name}]({link}))",
        tuple(map(threat.name_of, radii)),
        tuple(shares[rho] if rho < len(shares) else 0.0 for rho in radii),
        record["accuracy"],
        median,
        {
            "images": f"{record['num_images']:,}",
            "accuracy": f"{record['accuracy']:.2%} {_percents(ends['accuracy'])}",
            "median": "" if threat.sizes else _median(median, ends["median_certified_robustness"]),
            "ballots": f"{ballots:,.0f}",
            "α": f"{record['alpha']:g}",
            "training": f"{_plain(config.dataset)}, {config.num_epochs} epochs",
            "verified": "yes, with weights" if RunFolder(path).is_trained else "yes",
        },
    )


def published_rows(path: Path = HERE / "published.json") -> list[Row]:
    """Rows from papers."""
    return [_of_paper(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _of_paper(entry: Mapping[str, Any]) -> Row:
    accuracy, median, certified = entry.get("accuracy"), entry.get("median"), entry.get("certified")
    return Row(
        (entry["dataset"], entry["against"]),
        f"{entry['name']} ([{entry['source']}]({entry['url']}))",
        tuple(map(str, RADII)),
        tuple((certified or {}).get(str(rho)) for rho in RADII),
        accuracy,
        median,
        {
            "images": f"{entry['images']:,}" if "images" in entry else "–",
            "accuracy": "–" if accuracy is None else f"{accuracy:.2%}",
            "median": "–" if median is None else str(median),
            "ballots": entry.get("ballots", "–"),
            "α": f"{entry['alpha']:g}" if "alpha" in entry else "–",
            "training": entry.get("training", "–"),
            "verified": "no",
        },
    )


def page(rows: Sequence[Row]) -> str:
    """The page, a table for each data set and kind of attacker."""
    tables: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        tables[row.table].append(row)
    lines, known = [_INTRODUCTION], list(_TITLES)
    for dataset, against in sorted(
        tables, key=lambda key: (known.index(key[0]) if key[0] in known else len(known), key)
    ):
        lines.append(f"## {_TITLES.get(dataset, dataset)}: {against}\n")
        lines += _table(tables[dataset, against])
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    levels = max((row.levels for row in rows), key=len)
    before, after = ["images", "accuracy", "median"], ["ballots", "α", "training", "verified"]
    if not rows[0].cells["median"]:
        before.remove("median")
    heads = ["classifier", *before, *(f"certified, {level}" for level in levels), *after]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row in sorted(rows, key=lambda row: row.rank, reverse=True):
        shares = ["–" if share is None else f"{share:.1%}" for share in row.certified]
        cells = row.cells
        lines.append(
            _line([row.name, *(cells[n] for n in before), *shares, *(cells[n] for n in after)])
        )
    return [*lines, ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that others wrote, without what Markdown could take for markup."""
    return re.sub(r"[^\w .,:/+=-]", "?", text)


def _percents(ends: Sequence[float]) -> str:
    return f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def _median(value: int | None, ends: Sequence[int | None] | None) -> str:
    shown = ["N/A" if number is None else str(number) for number in (value, *(ends or ()))]
    return shown[0] if ends is None else f"{shown[0]} [{shown[1]}, {shown[2]}]"


if __name__ == "__main__":
    PAGE.write_text(page([*verified_rows(), *published_rows()]), encoding="utf-8")
