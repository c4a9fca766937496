"""`sparsecert submission` and `verify`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from sparsecert.cli.options import RunArgument, announce, console, own_run, print_error
from sparsecert.errors import InputError

if TYPE_CHECKING:
    from sparsecert.submissions.verify import Verdict


def submission_command(
    run: RunArgument,
    records: Annotated[
        tuple[Path, ...],
        Parameter(help="Files that `certify --record` wrote; by default the run's latest."),
    ] = (),
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder to write, which is not there yet.")],
    weights: Annotated[
        bool,
        Parameter(help="Write the network's weights too, so that others can count votes again."),
    ] = False,
) -> None:
    """Write records of a run, with the votes and labels that they follow from, and verify them."""
    from sparsecert.records.record import read_record
    from sparsecert.submissions.make import make_submission
    from sparsecert.submissions.verify import verify

    folder = own_run(run)
    announce(run, folder.config.dataset)
    if not records:
        read_record(folder)  # says what to do where there is none
    make_submission(folder, records or (folder.record_path,), out, weights=weights)
    if not _tell(verify(out)):
        sys.exit(1)


def verify_command(
    submissions: Annotated[
        tuple[Path, ...], Parameter(help="Folders that `sparsecert submission` wrote.")
    ],
    /,
    *,
    recount: Annotated[
        int,
        Parameter(
            help="Count the votes on so many images of each record again, drawn at random: of "
            "submissions with weights, where the data set is at hand.",
            validator=validators.Number(gte=0),
        ),
    ] = 0,
) -> None:
    """Derive every number of submissions from their votes, and say what that cannot show.

    Ends with status 1 if one of them does not hold.
    """
    from sparsecert.procedures.execution import LocalExecution
    from sparsecert.submissions.verify import verify

    here, held, failures = LocalExecution(show_progress=True), True, []
    for path in submissions:
        try:
            held &= _tell(verify(path, recount, here))
        except InputError as error:
            failures.append(str(error))
    if failures:
        raise InputError("; ".join(failures))
    if not held:
        sys.exit(1)


def _tell(verdict: Verdict) -> bool:
    """Print what was found; whether the submission holds."""
    if not verdict.verified:
        print_error(f"refused: {verdict.path}", "red")
        for reason in verdict.reasons:
            print_error(f"  {reason}", "red")
        return False
    console.print(f"verified: {verdict.path}", soft_wrap=True)
    for name, record in verdict.records.items():
        console.print(f"  {name}: {_result(record)}", soft_wrap=True)
    if (counted := verdict.recounted) is not None:
        images = ", ".join(map(str, counted.indices))
        console.print(
            f"  counted again: images {images}; of {counted.num_ballots:,} ballots "
            f"{counted.num_different:,} are others, of an image's at most "
            f"{counted.most_different:.2%}",
            soft_wrap=True,
        )
    for words in verdict.unchecked:
        console.print(f"  not checked: that {words}", soft_wrap=True)
    return True


def _result(record: Mapping[str, Any]) -> str:
    """What a record says, in a line."""
    from sparsecert.designs.threats import threat_of

    threat = threat_of(record.get("threat", "sparse"))
    median = record["median_certified_robustness"]
    certified = f"median {'N/A' if median is None else median}"
    if threat.sizes:
        largest = f"{threat.kind} {threat.name_of(len(threat.sizes))}"
        certified = f"certified accuracy {record['certified_accuracy'][-1]:.2%} ({largest})"
    return (
        f"{record['num_images']} images, accuracy {record['accuracy']:.2%}, {certified}, "
        f"alpha = {record['alpha']}"
    )
