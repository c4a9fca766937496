"""`sparsecert train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sparsecert.cli.options import DesignName, DesignOptions, console
from sparsecert.designs.design import options
from sparsecert.designs.registry import DESIGNS
from sparsecert.errors import InputError
from sparsecert.models import Architecture
from sparsecert.training import Augmentation, Mixing, RecipeName


def train_command(
    *,
    data: Annotated[
        str,
        Parameter(help="digits, breast-cancer, mnist, cifar10, a Hub name, a local path or .npz."),
    ],
    out: Annotated[Path, Parameter(help="Run folder to write, or to resume.")],
    recipe: Annotated[
        RecipeName,
        Parameter(help="radius: goes on from --start, for certificates of --radius."),
    ] = "fast",
    encoding: Annotated[
        Literal["two-channel", "mean"] | None, Parameter(help="How NULL is shown; two-channel.")
    ] = None,
    model: Annotated[
        Architecture | None,
        Parameter(help="Base classifier; by default chosen by recipe and shape of the inputs."),
    ] = None,
    epochs: Annotated[int | None, Parameter(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        int | None, Parameter(help="Instead of the recipe's, where memory is short.")
    ] = None,
    augmentation: Annotated[
        Augmentation | None,
        Parameter(help="Random changes to training images, instead of the recipe's."),
    ] = None,
    mixing: Annotated[
        Mixing | None,
        Parameter(
            help="Make each training example of two, against learning them by heart: cutmix for "
            "images, mixup for anything."
        ),
    ] = None,
    weight_average: Annotated[
        float | None,
        Parameter(
            help="End with the mean of the weights over steps, each with this share of the weight "
            "of the next, such as 0.999; 0 for the last ones."
        ),
    ] = None,
    retained_range: Annotated[
        tuple[float, float] | None,
        Parameter(
            help="uniform: train for many k at once: each example retains a number of features "
            "between these two shares of k, such as 0.4 1.4, instead of the recipe's; 1 1 for k "
            "alone.",
            negative=(),
        ),
    ] = None,
    start: Annotated[
        Path | None,
        Parameter(
            help="Trained run of the same network, for any k, whose weights to begin with; for "
            "deep-interpolating-resnet and mirrored-wide-interpolating-resnet also of "
            "wide-interpolating-resnet."
        ),
    ] = None,
    radius: Annotated[
        int | None, Parameter(help="radius: pixels or features to be certified.")
    ] = None,
    held_out: Annotated[
        int,
        Parameter(help="Training examples not to train on, for `certify --abstain best`."),
    ] = 0,
    units: Annotated[
        str | None,
        Parameter(
            help="uniform: what a radius counts: patch:S for squares of pixels, a+b,c+d for groups "
            "of columns, by name or number."
        ),
    ] = None,
    protect: Annotated[
        str | None,
        Parameter(
            help="uniform: columns or pixels that nobody can attack, which are always shown: names "
            "or numbers, as in age,3 or 0-27."
        ),
    ] = None,
    seed: int = 0,
    design: Annotated[
        DesignName,
        Parameter(
            help="Random ablations; the fixed families: partitions, bands, circles of a plane "
            "(inversive); or the noise of Lee et al. (2019), to compare with."
        ),
    ] = "uniform",
    settings: DesignOptions = DesignOptions(),  # noqa: B008 - frozen
    width: Annotated[
        int | None, Parameter(help="partition, bands: width of the members of a subset ensemble.")
    ] = None,
) -> None:
    """Train a base classifier on ablated inputs. Repeat the command to resume a killed run."""
    from sparsecert.runs.train import train_run

    given = {name: value for name, value in asdict(settings).items() if value is not None}
    known = options(DESIGNS[design])
    flags = {
        name: flag for other in DESIGNS.values() for name, (flag, _, _) in options(other).items()
    }
    foreign = [f"--{flags[name]}" for name in given if name not in known]
    missing = any(needed and name not in given for name, (_, _, needed) in known.items())
    if missing or foreign:
        wanted = " and ".join(f"--{flag}" for flag, _, needed in known.values() if needed)
        got = f", and no {' and no '.join(foreign)}" if foreign else ""
        raise InputError(f"expected {wanted} for the design {design}{got}")
    run = train_run(
        data,
        out,
        recipe,
        design=design,
        design_settings=given,
        encoding=encoding,
        architecture=model,
        epochs=epochs,
        batch_size=batch_size,
        augmentation=augmentation,
        mixing=mixing,
        weight_average=weight_average,
        retained_range=retained_range,
        width=width,
        start=start,
        radius=radius,
        units=units,
        protect=protect,
        held_out=held_out,
        seed=seed,
        show_progress=True,
    )
    console.print(f"trained: {run.path}")
