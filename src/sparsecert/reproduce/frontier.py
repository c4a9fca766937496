"""The trade-off between accuracy and radius: every certified classifier of the results folder."""

from __future__ import annotations

from matplotlib.figure import Figure

from sparsecert.errors import InputError
from sparsecert.report.figures import TradeOff, trade_off
from sparsecert.reproduce.experiment import Options
from sparsecert.reproduce.overview import TABLES, read_results
from sparsecert.reproduce.paper import CertifiedRow

_PAPER = "the paper"
_SERIES = {"partition": "fixed sets, ", "lee2019": "Lee et al., "}


def draw(options: Options) -> Figure:
    """Accuracy against median certified radius, by rule, beside the paper's; trains nothing.

    Raises:
        InputError: if the results folder holds no certified classifier of this data set.
    """
    dataset = options.dataset or "mnist"
    points: dict[str, list[TradeOff]] = {_PAPER: []}
    for table in TABLES.values():
        for row in table.rows:
            if not isinstance(row, CertifiedRow) or row.dataset != dataset or not row.accuracy:
                continue
            paper = TradeOff(row.accuracy / 100, row.median or 0)
            if row.encoding == "two-channel" and paper not in points[_PAPER]:
                points[_PAPER].append(paper)
    for result in read_results(options.results):
        record = result.record
        if record.get("kind") is not None or record["dataset"] != dataset:
            continue  # attacks and accuracies of base classifiers have kinds
        name = _SERIES.get(record["design"], "") + record["rule"]
        name += ", trained for a radius" if "radius_trained_for" in record else ""
        ends = record["intervals"]
        low, high = ends["median_certified_robustness"] or (None, None)
        points.setdefault(name, []).append(
            TradeOff(
                record["accuracy"],
                record["median_certified_robustness"] or 0,
                tuple(ends["accuracy"]),
                (low or 0, high or 0),
            )
        )
    if list(points) == [_PAPER]:
        raise InputError(
            f"expected records of classifiers certified on {dataset!r} in {options.results}; "
            "sparsecert certify --record writes them"
        )
    return trade_off(points, dataset)
