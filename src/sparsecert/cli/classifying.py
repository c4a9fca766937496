"""`sparsecert classify`: new inputs, without labels; nothing is stored."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from sparsecert.cli.options import CertificationOptions, JsonOption, RunArgument, console, own_run
from sparsecert.errors import InputError


def classify_command(
    run: RunArgument,
    inputs: Annotated[
        list[Path],
        Parameter(help="Image files; or, for a table, one CSV file with a line of names."),
    ],
    how: CertificationOptions = CertificationOptions(),  # noqa: B008 - frozen
    *,
    json: JsonOption = False,
) -> None:
    """Classify and certify new images or rows, without labels; nothing is stored."""
    from rich.table import Table

    from sparsecert.certification import Certification
    from sparsecert.data import new_inputs
    from sparsecert.report.words import inputs_of, one_of, share, withstands

    folder = own_run(run)
    config = folder.config
    procedure = how.procedure(folder)
    x = new_inputs(inputs, config.input_shape, config.feature_range)
    # Whoever sent an input may know the ballots of every seed that was named before.
    settings: dict[str, Any] = asdict(procedure)
    if settings.pop("top") > 1:
        raise InputError("expected no --top for new inputs, whose correct class nobody knows")
    if "seed" in settings:
        settings["seed"] = how.seed
    classifier: Any = procedure.classifier(folder)
    found: Certification = classifier.certify(x, **settings)
    shares = found.tally.votes / found.num_samples[:, None]
    own = shares[np.arange(len(x)), found.label]
    names = [str(path) for path in inputs] if len(config.input_shape) == 3 else range(1, len(x) + 1)
    if json:
        rows = zip(names, found.label, found.radius, own, strict=True)
        answers = [
            {"input": name, "class": config.class_names[c], "radius": int(r), "share": float(s)}
            for name, c, r, s in rows
        ]
        console.print_json(data={**settings, "seed": found.seed, "answers": answers})
        return
    unit = config.design.unit(config.input_shape)
    table = Table()
    for head in (one_of(inputs_of(unit)), "class", "certified", "share of votes"):
        table.add_column(head, overflow="fold")
    for name, label, radius, votes in zip(names, found.label, found.radius, own, strict=True):
        certified = withstands(int(radius), unit, found.threat)
        table.add_row(str(name), config.class_names[label], certified, share(votes, 1))
    console.print(table)
