"""`sparsecert import` and `push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsecert.cli.options import RunArgument, console, own_run
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


def push_command(
    run: RunArgument,
    name: Annotated[str, Parameter(help="Repository on the Hugging Face Hub, as user/name.")],
    *,
    private: Annotated[bool, Parameter(help="Make the repository private.", negative="")] = False,
    revision: Annotated[
        str | None, Parameter(help="Branch to write to, made if it is missing; main by default.")
    ] = None,
    tallies: Annotated[bool, Parameter(help="Upload the votes too.", negative="")] = False,
) -> None:
    """Upload configuration, weights, latest record and a card of a run to the Hugging Face Hub."""
    from sparsecert.report.card import model_card
    from sparsecert.runs.hub import push_run

    folder = own_run(run)
    card = model_card(folder, name)
    commit = push_run(folder, name, card, private=private, revision=revision, tallies=tallies)
    console.print(f"uploaded: {commit}", soft_wrap=True)
