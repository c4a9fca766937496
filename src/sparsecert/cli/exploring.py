"""`sparsecert explore`: the hands-on page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsecert.cli.measuring import DEMO_PATH, demo_run
from sparsecert.cli.options import announce, console


def explore_command(
    run: Annotated[
        Path | None,
        Parameter(
            help="Folder that `sparsecert train --out` wrote, or a run on the Hugging Face Hub; by "
            f"default the run of `sparsecert demo`, {DEMO_PATH}, which is made if it is not there."
        ),
    ] = None,
    /,
    *,
    num_samples: Annotated[
        int | None, Parameter(help="n that the page begins with: ballots of a certificate; 1000.")
    ] = None,
    host: Annotated[str, Parameter(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen at; 0 for any that is free.")] = 7860,
    open: Annotated[bool, Parameter(help="Open the page in a browser.", negative="")] = False,
) -> None:
    """Change an input by hand, in a browser, and watch its votes against its certificate."""
    from sparsecert.errors import check_num_samples
    from sparsecert.explore.serve import require_gradio, serve
    from sparsecert.explore.session import NUM_SAMPLES, Settings
    from sparsecert.explore.subject import Subject
    from sparsecert.runs.folder import RunFolder
    from sparsecert.runs.hub import locate

    require_gradio()
    number = NUM_SAMPLES if num_samples is None else num_samples
    check_num_samples(number)
    found = demo_run(DEMO_PATH) if run is None else RunFolder.open(*locate(run))
    announce(found.path, found.config.dataset)
    subject = Subject(found)
    settings = Settings(subject.design.num_retained, number)

    def ready(address: str) -> None:
        console.print(f"the page is at {address} until you press Ctrl-C", soft_wrap=True)
        if open:
            webbrowser.open(address)

    serve(subject, settings, host, port, ready)
