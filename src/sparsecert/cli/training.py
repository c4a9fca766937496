"""`sparsecert train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sparsecert.cli.options import console
from sparsecert.errors import InputError
from sparsecert.names import Architecture, RecipeName


def train_command(
    *,
    data: Annotated[
        str,
        Parameter(help="digits, breast-cancer, mnist, cifar10, a Hub name, a local path or .npz."),
    ],
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")],
    retained: Annotated[
        int | None, Parameter(help="k: features each ablated input retains.")
    ] = None,
    recipe: Annotated[
        RecipeName,
        Parameter(help="radius: goes on from --start, for certificates of --radius."),
    ] = "fast",
    encoding: Literal["two-channel", "mean"] = "two-channel",
    model: Annotated[
        Architecture | None,
        Parameter(help="Base classifier; by default chosen by recipe and shape of the inputs."),
    ] = None,
    epochs: Annotated[int | None, Parameter(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        int | None, Parameter(help="Instead of the recipe's, where memory is short.")
    ] = None,
    start: Annotated[
        Path | None,
        Parameter(help="Trained run of the same network, for any k, whose weights to begin with."),
    ] = None,
    radius: Annotated[
        int | None, Parameter(help="radius: pixels or features to be certified.")
    ] = None,
    seed: int = 0,
    design: Annotated[
        Literal["uniform", "partition", "lee2019"],
        Parameter(
            help="Random ablations, fixed partitions, or the noise of Lee et al. (2019) to compare "
            "with."
        ),
    ] = "uniform",
    sets: Annotated[int | None, Parameter(help="partition: sets of each partition.")] = None,
    copies: Annotated[int | None, Parameter(help="partition: number of partitions; 1.")] = None,
    layout: Annotated[
        Literal["strided", "random", "stratified"] | None,
        Parameter(help="partition: which features make a set; strided."),
    ] = None,
    width: Annotated[
        int | None, Parameter(help="partition: width of the members of a subset ensemble.")
    ] = None,
    keep_probability: Annotated[
        float | None, Parameter(help="lee2019: probability that a feature keeps its value.")
    ] = None,
    num_values: Annotated[
        int | None, Parameter(help="lee2019: values a feature can take; 2 is black and white.")
    ] = None,
) -> None:
    """Train a base classifier on ablated inputs. Repeat the command to resume a killed run."""
    from sparsecert.runs.train import train_run

    # For each design what it needs, then what it takes.
    options: dict[str, tuple[dict[str, object], dict[str, object]]] = {
        "uniform": ({"retained": retained}, {}),
        "partition": ({"sets": sets}, {"copies": copies, "layout": layout, "width": width}),
        "lee2019": ({"keep-probability": keep_probability, "num-values": num_values}, {}),
    }
    needed, taken = options.pop(design)
    foreign = [
        f"--{name}"
        for parts in options.values()
        for part in parts
        for name, value in part.items()
        if value is not None
    ]
    if design == "lee2019" and encoding != "two-channel":
        foreign.append("--encoding")
    if None in needed.values() or foreign:
        wanted = " and ".join(f"--{name}" for name in needed)
        also = f" (and perhaps {', '.join(f'--{name}' for name in taken)})" if taken else ""
        got = f"; {' and '.join(foreign)} is for another" if foreign else ""
        raise InputError(f"expected {wanted}{also} for the design {design}{got}")
    settings = {
        "num_retained": retained,
        "num_sets": sets,
        "copies": copies,
        "layout": layout,
        "keep_probability": keep_probability,
        "num_values": num_values,
    }
    run = train_run(
        data,
        out,
        recipe,
        design=design,
        design_settings=settings,
        encoding="none" if design == "lee2019" else encoding,
        architecture=model,
        epochs=epochs,
        batch_size=batch_size,
        width=width,
        start=start,
        radius=radius,
        seed=seed,
        show_progress=True,
    )
    console.print(f"trained: {run.path}")
