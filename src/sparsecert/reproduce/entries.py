"""Everything `sparsecert reproduce` can be asked for, by name."""

from __future__ import annotations

from rich.console import Console

from sparsecert import files
from sparsecert.attacks.record import contradictions
from sparsecert.errors import InputError
from sparsecert.reproduce.experiment import Options, chosen_rows, repeat
from sparsecert.reproduce.figures import FIGURES
from sparsecert.reproduce.overview import checked_results, comparison, write_overview
from sparsecert.reproduce.tables import TABLES

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
    if options.shard is not None and name not in TABLES:
        raise InputError(f"expected --shard for a table of the paper, got it for {name}")
    if name in FIGURES:
        figure, path = FIGURES[name](options), options.results / f"{name}.png"
        files.make_folder(path.parent)
        with files.atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
        console.print(f"figure: {path}", soft_wrap=True)
        return
    if name in TABLES:
        table = TABLES[name]
        checked_results(options.results)  # before the hours of training
        rows = [(row, repeat(table, row, options)) for row in chosen_rows(table, options)]
        for _, record in rows:
            for sentence in contradictions(record):
                console.print(f"error: {sentence}", style="bold red")
        if options.shard is not None:
            console.print(
                f"{name}: shard {options.shard} is done; when all are, for each RUN of "
                f"{options.out}: sparsecert merge RUN/shards/* --into RUN; then this command "
                "without --shard",
                soft_wrap=True,
            )
            return
        console.print(comparison(table, rows))
    elif name != OVERVIEW:
        known = ", ".join([*TABLES, *FIGURES, OVERVIEW])
        raise InputError(f"expected one of {known}, got {name!r}")
    elif not options.results.is_dir():
        raise InputError(f"expected a folder of result records, got {options.results}")
    console.print(f"overview: {write_overview(options.results)}", soft_wrap=True)
