"""`sparsecert attack`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sparsecert.cli.options import (
    AlphaOption,
    DataOption,
    ExecutionOptions,
    JsonOption,
    LimitOption,
    OutOption,
    RecordOption,
    RuleOption,
    RunArgument,
    SamplesOption,
    ShardOption,
    ThreatOption,
    announce_own_data,
    console,
    own_run,
    parse_shard,
    print_error,
)


def attack_command(
    run: RunArgument,
    where: ExecutionOptions = ExecutionOptions(),  # noqa: B008 - frozen
    *,
    attack: Annotated[
        Literal["pointwise", "sparse-rs", "sigma-zero", "greedy", "exchange", "patch"],
        Parameter(
            help="The paper's, a random search, three that follow gradients, or one of patches."
        ),
    ] = "pointwise",
    data: DataOption = None,
    limit: LimitOption = 20,
    shard: ShardOption = None,
    out: OutOption = None,
    budget: Annotated[
        int | None, Parameter(help="Most pixels or features to change; any by default.")
    ] = None,
    repetitions: Annotated[int | None, Parameter(help="pointwise: starts per image; 10.")] = None,
    steps: Annotated[
        int | None,
        Parameter(
            help="sparse-rs: steps without success that end the search (300); "
            "sigma-zero: gradient steps (200); exchange: failures in a row that end it (8); "
            "patch: of each way to paint (40)."
        ),
    ] = None,
    rule: RuleOption = None,
    threat: ThreatOption = None,
    abstain: Annotated[float | None, Parameter(help="fixed families: as for `certify`.")] = None,
    num_samples: SamplesOption = None,
    alpha: AlphaOption = None,
    num_search: Annotated[
        int | None,
        Parameter(
            help="pointwise, sparse-rs, greedy: ablations by which better is told from worse; "
            "1 000. exchange: three times as many tell it."
        ),
    ] = None,
    num_gradient: Annotated[
        int | None,
        Parameter(
            help="sigma-zero, greedy, exchange: ablations that a gradient averages over; 256."
        ),
    ] = None,
    seed: int = 0,
    record: RecordOption = None,
    json: JsonOption = False,
) -> None:
    """Find the fewest changes that fool the prediction. Repeat the command to resume."""
    from sparsecert.attacks.plan import plan_for
    from sparsecert.attacks.run import attack_run
    from sparsecert.records.output import check_outputs
    from sparsecert.records.record import to_text, write_record
    from sparsecert.report import tables

    folder = own_run(run)
    config = folder.config
    plan = plan_for(
        config.design,
        attack,
        budget=budget,
        repetitions=repetitions,
        steps=steps,
        rule=rule,
        threat=threat,
        abstain=abstain,
        num_samples=num_samples,
        alpha=alpha,
        num_search=num_search,
        num_gradient=num_gradient,
        seed=seed,
    )
    share = parse_shard(shard)
    check_outputs(folder.path, record=record)
    announce_own_data(run, config.dataset, data)
    result = attack_run(folder, plan, limit, data, where.build(), share, out)
    if record is not None:
        write_record(record, result)
    if json:
        print(to_text(result), end="")
    else:
        unit = config.design.unit(config.input_shape) if threat is None else f"of {threat}"
        rows = tables.attack_rows(result, unit)
        console.print(tables.terminal_table(f"{attack} on {result['dataset']}", rows))
    report_violations(result)


def report_violations(record: Mapping[str, Any]) -> None:
    """Say what an attack's record has against the certificates.

    Raises:
        SystemExit: with status 1, if the class changed within a certified radius.
    """
    from sparsecert.attacks.record import contradictions

    for sentence in contradictions(record):
        print_error(f"error: {sentence}", style="bold red")
    if record["misclassified_within_certificate"]:
        sys.exit(1)
