"""How often sequential certificates and predictions err at the hardest vote shares, by simulation.

    python benchmarks/sequential_errors.py --record results/benchmark-sequential-errors.json

Ballots are drawn from shares that are exactly at a threshold of d = 784 and k = 45, so that one
radius more is an error. "errors" is the share of wrong certificates where counting stops,
"errors_at_any_look" where nobody stops: no way of stopping errs more often than that.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.certification import certification_at, certify_by_look, stop
from sparsecert.records.record import hardware, write_record
from sparsecert.theory.confidence import proportion_interval
from sparsecert.theory.schedule import growing_looks

ABLATION = sc.UniformAblation(784, 45)
_AT_ONCE = 10_000
# Rankings of three classes; class 0 is certified. The last two put a rival above it each.
RANKINGS = [[0, 1, 2], [1, 2, 0], [2, 1, 0]]
EACH_ON_HALF = [[1, 0, 2], [2, 0, 1], [0, 1, 2]]
app = App(help=__doc__)


@app.default
def main(
    *,
    num_images: Annotated[int, Parameter(help="Simulated images for each case.")] = 40_000,
    num_samples: Annotated[int, Parameter(help="The budget.")] = 10_000,
    alpha: float = 0.05,
    record: Annotated[Path | None, Parameter(help="Write the result here, as JSON.")] = None,
) -> None:
    """Simulate every case and print its error rate."""
    started, cases = time.perf_counter(), []
    for number, (rule, shares, wrong) in enumerate(hardest_certificates()):
        rng = np.random.default_rng((1, number))
        stopped = anywhere = 0
        ballots = 0.0
        for size in _portions(num_images):
            tally = draw(rng, shares, RANKINGS, num_samples, size)
            label = np.zeros(size, dtype=np.int64)
            certified = certify_by_look(tally, label, ABLATION, alpha, rule)
            end = stop(tally, certified)
            found = certification_at(end, tally, label, certified, alpha, rule)
            stopped += int((found.radius >= wrong).sum())
            anywhere += int((certified.radius[:, -1] >= wrong).sum())
            ballots += float(found.num_samples.sum())
        case = {"certify": rule, "shares": _short(shares), "wrong_radius": wrong}
        rates = _rate("errors", stopped, num_images)
        rates |= _rate("errors_at_any_look", anywhere, num_images)
        cases.append(case | rates | {"mean_ballots": round(ballots / num_images)})
        print(cases[-1])
    for number, (rule, shares, rankings) in enumerate(hardest_predictions()):
        rng = np.random.default_rng((2, number))
        wrong, ballots = 0, 0.0
        for size in _portions(num_images):
            tally = draw(rng, shares, rankings, num_samples, size)
            predicted = sc.predict_tally(tally, alpha, rule)
            wrong += int((predicted.label > 0).sum())
            ballots += float(predicted.num_samples.sum())
        case = {"predict": rule, "shares": _short(shares), "rankings": rankings}
        rates = _rate("errors", wrong, num_images)
        cases.append(case | rates | {"mean_ballots": round(ballots / num_images)})
        print(cases[-1])
    result = {
        "benchmark": "sequential-errors",
        "num_images": num_images,
        "num_samples": num_samples,
        "num_features": ABLATION.num_features,
        "num_retained": ABLATION.num_retained,
        "alpha": alpha,
        "cases": cases,
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if record is not None:
        write_record(record, result)


def hardest_certificates() -> list[tuple[str, NDArray[np.float64], int]]:
    """Rule, shares of the rankings, and the least radius that is an error."""
    shares, leads = ABLATION.share_thresholds(), ABLATION.lead_thresholds()
    cases = []
    for rho in (0, 5, 11):
        q, lead = float(shares[rho]), float(leads[rho])
        cases += [
            ("majority", np.array([q, 1 - q, 0]), rho),
            ("pairwise", np.array([q, (1 - q) * 3 / 4, (1 - q) / 4]), rho),
            # Two rivals at once, and one that leads the other.
            ("margin", np.array([1 + 2 * lead, 1 - lead, 1 - lead]) / 3, rho),
            ("margin", np.array([q, 1 - q, 0]), rho),
        ]
    return cases


def hardest_predictions() -> list[tuple[str, NDArray[np.float64], list[list[int]]]]:
    """Rule, shares and rankings; every class but 0 is wrong, by a hair at most."""
    tie, three = np.array([0.5, 0.5, 0.0]), np.full(3, 1 / 3)
    return [
        ("majority", tie, RANKINGS),
        ("majority", three, RANKINGS),
        ("pairwise", tie, RANKINGS),
        ("pairwise", tie, EACH_ON_HALF),
    ]


def draw(
    rng: np.random.Generator,
    shares: NDArray[np.float64],
    rankings: list[list[int]],
    num_samples: int,
    num_images: int,
) -> sc.Tally:
    """Counts, at every look, of images whose ballots are rankings with these shares."""
    looks = growing_looks(num_samples)
    steps = np.diff(looks, prepend=0)
    drawn = np.cumsum(np.stack([rng.multinomial(m, shares, num_images) for m in steps], 1), 1)
    place = np.argsort(np.array(rankings), axis=1)
    above = (place[:, :, None] < place[:, None, :]).astype(np.int64)
    first_choice = drawn @ (place == 0).astype(np.int64)
    return sc.Tally(first_choice, np.einsum("iln,ncj->ilcj", drawn, above), looks=looks)


def _portions(num_images: int) -> list[int]:
    return [min(_AT_ONCE, num_images - start) for start in range(0, num_images, _AT_ONCE)]


def _rate(name: str, count: int, total: int) -> dict[str, Any]:
    low, high = proportion_interval(count, total)
    interval = [round(float(low), 5), round(float(high), 5)]
    return {name: round(count / total, 5), f"{name}_interval": interval}


def _short(shares: NDArray[np.float64]) -> list[float]:
    return [round(float(share), 6) for share in shares]


if __name__ == "__main__":
    app()
