"""Everything `sparsecert reproduce` can be asked for, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from sparsecert import files
from sparsecert.attacks.record import contradictions
from sparsecert.errors import InputError
from sparsecert.reproduce import adversarial, figure1, figure2, figure4, frontier
from sparsecert.reproduce.experiment import Options, chosen_rows, repeat
from sparsecert.reproduce.overview import TABLES, checked_results, comparison, write_overview

FIGURES: dict[str, Callable[[Options], Figure]] = {
    "figure1": figure1.draw,
    "figure2": figure2.draw,
    "figure3": adversarial.draw_few,
    "figure4": figure4.draw,
    "figure5": adversarial.draw_more,
    "frontier": frontier.draw,
}
OVERVIEW = "overview"


def reproduce(name: str, options: Options, console: Console) -> None:
    """Repeat a table or figure, or write the overview of all results.

    Args:
        name: a key of `TABLES` or `FIGURES`, or "overview".
        options: what narrows it down, and where results go.
        console: where results are printed.

    Raises:
        InputError: for an unknown name.
    """
    if name in TABLES:
        table = TABLES[name]
        checked_results(options.results)  # before the hours of training
        rows = [(row, repeat(table, row, options)) for row in chosen_rows(table, options)]
        console.print(comparison(table, rows))
        for _, record in rows:
            for sentence in contradictions(record):
                console.print(f"error: {sentence}", style="bold red")
        console.print(f"overview: {write_overview(options.results)}", soft_wrap=True)
    elif name in FIGURES:
        path = _save(FIGURES[name](options), options.results / f"{name}.png")
        console.print(f"figure: {path}", soft_wrap=True)
    elif name == OVERVIEW:
        console.print(f"overview: {write_overview(options.results)}", soft_wrap=True)
    else:
        known = ", ".join([*TABLES, *FIGURES, OVERVIEW])
        raise InputError(f"expected one of {known}, got {name!r}")


def _save(figure: Figure, path: Path) -> Path:
    files.make_folder(path.parent)
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path
