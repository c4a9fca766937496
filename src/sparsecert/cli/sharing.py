"""`sparsecert import` and `push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsecert.cli.options import console
from sparsecert.models import PublishedArchitecture


def import_command(
    checkpoint: Annotated[
        Path, Parameter(help="File that the scripts of the paper's authors saved.")
    ],
    *,
    architecture: Annotated[PublishedArchitecture, Parameter(help="Of the network in it.")],
    data: Annotated[
        str, Parameter(help="Data set that it was trained on, as `sparsecert train` takes it.")
    ],
    retained: Annotated[int, Parameter(help="k: pixels that each ballot retains.")],
    out: Annotated[Path, Parameter(help="Run folder to write.")],
) -> None:
    """Make a run folder of a network that the paper's authors, or their scripts, trained."""
    from sparsecert.runs.imported import import_run

    run = import_run(checkpoint, data, out, architecture, retained)
    console.print(f"imported: {run.path}")
