"""`sparsecert attack`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sparsecert.cli.options import DataOption, LimitOption, RunArgument, complain, console


def attack_command(
    run: RunArgument,
    *,
    attack: Annotated[
        Literal["pointwise", "sparse-rs", "sigma-zero", "greedy"],
        Parameter(help="The paper's, a random search, or one of two that follow gradients."),
    ] = "pointwise",
    data: DataOption = None,
    limit: LimitOption = 20,
    budget: Annotated[
        int | None, Parameter(help="Most pixels or features to change; any by default.")
    ] = None,
    repetitions: Annotated[int, Parameter(help="pointwise: starts per image.")] = 10,
    steps: Annotated[
        int | None,
        Parameter(
            help="sparse-rs: steps without success that end the search (300); "
            "sigma-zero: gradient steps (200)."
        ),
    ] = None,
    rule: Annotated[
        Literal["majority", "margin", "pairwise", "plurality", "run-off"] | None,
        Parameter(help="Whose prediction to attack; majority, of a partition plurality."),
    ] = None,
    num_samples: Annotated[int, Parameter(help="n: ablations per prediction.")] = 10_000,
    alpha: Annotated[
        float, Parameter(help="The prediction's probability of a wrong class.")
    ] = 0.05,
    num_search: Annotated[
        int, Parameter(help="Ablations by which a search tells better from worse.")
    ] = 1_000,
    num_gradient: Annotated[int, Parameter(help="Ablations that a gradient averages over.")] = 256,
    seed: int = 0,
    record: Annotated[Path | None, Parameter(help="Write the result as JSON to this file.")] = None,
) -> None:
    """Find the fewest changes that fool the prediction. Repeat the command to resume."""
    from sparsecert.attacks import AttackPlan, Probe
    from sparsecert.attacks.run import attack_run
    from sparsecert.files import check_writable
    from sparsecert.records.record import write_record
    from sparsecert.report import tables
    from sparsecert.runs.folder import RunFolder

    probe = Probe(num_samples, alpha, num_search, num_gradient)
    plan = AttackPlan(attack, budget, repetitions, steps, probe, seed, rule)
    folder = RunFolder.open(run)
    if record is not None:
        check_writable(record)
    result = attack_run(folder, plan, limit, data, show_progress=True)
    if record is not None:
        write_record(record, result)
    unit = folder.read_config().design.unit(folder.read_config().input_shape)
    console.print(
        tables.terminal_table(f"{attack} on {result['dataset']}", tables.attack_rows(result, unit))
    )
    shout(result)


def shout(record: Mapping[str, Any]) -> None:
    """Say what an attack's record has against the certificates.

    Raises:
        SystemExit: with status 1, if the class changed within a certified radius.
    """
    from sparsecert.attacks.record import contradictions

    for sentence in contradictions(record):
        complain(f"error: {sentence}", style="bold red")
    if record["misclassified_within_certificate"]:
        sys.exit(1)
