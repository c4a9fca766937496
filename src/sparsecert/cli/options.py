"""Options that several commands have, and where they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

# What is printed holds the names of paths and classes, which are not markup.
console = Console(markup=False)

RunArgument = Annotated[Path, Parameter(help="Folder that `sparsecert train --out` wrote.")]
DataOption = Annotated[
    str | None,
    Parameter(
        name="--data",
        help="Data set to evaluate on, by name or path; by default the run's own test split.",
    ),
]
LimitOption = Annotated[
    int | None,
    Parameter(help="Number of images, spread evenly over the test split, of all its classes."),
]
RuleOption = Annotated[
    Literal["majority", "margin", "pairwise", "plurality", "run-off"] | None,
    Parameter(
        help="majority (the default), margin or pairwise for random ablations; plurality (the "
        "default), run-off or pairwise for a partition."
    ),
]

SamplingOption = Annotated[
    Literal["fixed", "sequential"],
    Parameter(help="sequential: stop where no more is to be expected; num-samples is the most."),
]


def complain(sentence: str, style: str | None = None) -> None:
    """Print a sentence to standard error."""
    Console(stderr=True, markup=False, highlight=False).print(sentence, style=style, soft_wrap=True)
