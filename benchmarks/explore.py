"""How soon the hands-on page answers, in seconds: median, lowest, highest.

    python benchmarks/explore.py RUN [--results results]

An answer is what the server does between what somebody did and the sentences, bars and pictures
that come back: ballots, certificates and HTML. The way through the browser comes on top.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from timing import CLOCKS, Spread, conditions, finish

from sparsecert.explore.panel import panel, views, votes
from sparsecert.explore.session import Session, Settings
from sparsecert.explore.subject import Subject
from sparsecert.runs.folder import RunFolder

ROUNDS = 20


def main() -> None:
    """Time each kind of answer on as many test images as there are rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--results", type=Path, help="folder to write the record to")
    given = parser.parse_args()
    subject = Subject(RunFolder.open(given.run))
    generator, settings = np.random.default_rng(0), Settings(subject.design.num_retained)
    taken: dict[str, list[dict[str, float]]] = {}

    def timed(name: str, action: Callable[[], Session]) -> Session:
        before = {clock: read() for clock, read in CLOCKS.items()}
        session = action()
        panel(session), votes(session), views(session)
        taken.setdefault(name, []).append(
            {clock: read() - before[clock] for clock, read in CLOCKS.items()}
        )
        return session

    def painted(session: Session, number: int) -> Session:
        chosen = generator.choice(session.units.num_entries, number, replace=False).tolist()
        session.change(session.changes | {int(entry): [1.0] for entry in chosen})
        return session

    def asked(session: Session) -> Session:
        session.ask_afresh()
        return session

    def attacked(session: Session) -> Session:
        next(session.greedy())
        return session

    for index in range(ROUNDS + 1):
        image, true_class = subject.input(index)
        session = timed("another image", lambda: Session(subject, image, settings, true_class))  # noqa: B023
        timed("one pixel painted", lambda: painted(session, 1))  # noqa: B023
        timed("a stroke of 20 pixels", lambda: painted(session, 20))  # noqa: B023
        timed("fresh ablations", lambda: asked(session))  # noqa: B023
        timed("another setting", lambda: session.with_settings(settings))  # noqa: B023
        timed("first step of greedy", lambda: attacked(session))  # noqa: B023
    answers = {
        f"{name}, {clock}": Spread.of([seconds[clock] for seconds in rounds[1:]])
        for name, rounds in taken.items()
        for clock in CLOCKS
    }
    record = {"benchmark": "explore"} | conditions(ROUNDS) | answers
    finish(f"explore-{given.run.name}", record, given.results)


if __name__ == "__main__":
    main()
