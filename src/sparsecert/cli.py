"""The `sparsecert` command: train, predict, certify, report, info, demo."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from sparsecert._version import __version__
from sparsecert.errors import InputError, RunFolderError

app = cyclopts.App(
    name="sparsecert",
    help="Provable robustness of classifiers against sparse (L0) attacks.",
    version=__version__,
)
console = Console()

RunArgument = Annotated[Path, Parameter(help="Folder that `sparsecert train --out` wrote.")]
DataOption = Annotated[
    str | None,
    Parameter(
        name="--data",
        help="Data set to evaluate on, by name or path; by default the run's own test split.",
    ),
]
LimitOption = Annotated[
    int | None, Parameter(help="Number of images, spread evenly over the test split.")
]


@app.command(name="train")
def train_command(
    *,
    data: Annotated[
        str,
        Parameter(help="digits, breast-cancer, mnist, cifar10, a Hub name, a local path or .npz."),
    ],
    retained: Annotated[int, Parameter(help="k: features each ablated input retains.")],
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")],
    recipe: Literal["fast", "paper"] = "fast",
    encoding: Literal["two-channel", "mean"] = "two-channel",
    model: Annotated[
        Literal["interpolating-cnn", "paper-cnn", "mlp"] | None,
        Parameter(help="Base classifier; by default chosen by recipe and shape of the inputs."),
    ] = None,
    epochs: Annotated[int | None, Parameter(help="Instead of the recipe's.")] = None,
    seed: int = 0,
) -> None:
    """Train a base classifier on ablated inputs. Repeat the command to resume a killed run."""
    from sparsecert.recipes import recipe_by_name
    from sparsecert.workflow import train_run

    run = train_run(
        data,
        retained,
        out,
        recipe_by_name(recipe),
        encoding=encoding,
        architecture=model,
        epochs=epochs,
        seed=seed,
        show_progress=True,
    )
    console.print(f"trained: {run.path}")


def main() -> None:
    """Run the command line; a problem at the border ends in one sentence and exit status 2."""
    try:
        app()
    except (InputError, RunFolderError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; repeat the command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
