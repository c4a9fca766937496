"""What the two choices of sequential sampling cost, by simulation on whole chains of thresholds.

    python benchmarks/sequential_constants.py --record results/benchmark-sequential-constants.json

Compared are spending functions, (n_i / n)^p and a mixture of two, and levels below which a share is
implausible (an hour on a busy core). Shares of images follow the radii of a stored record:
uniform between the threshold of the radius and the next one, and between 0.35 and 0.5 where there
is none. The fixed plan reads the same ballots. As a larger budget buys back what a choice loses,
"ballots_for_same_radius" says how many ballots it needs, under the budget that suits it, for the
mean radius of `REFERENCE` at the setting's budget, relative to that one; the ballots are those that
settle the prediction as well.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.records.record import hardware, write_record
from sparsecert.theory import boundaries
from sparsecert.theory.majority import Certified, share_certificate
from sparsecert.theory.margin import margin_by_look
from sparsecert.theory.prediction import Named, name_top_by_look, name_winner_by_look
from sparsecert.theory.schedule import growing_looks

RESULTS = Path(__file__).parents[1] / "results"
CHAINS = [
    (sc.UniformAblation(784, 16), "mnist-k16-r14-pairwise"),
    (sc.UniformAblation(784, 45), "mnist-k45-fast-n1000-pairwise"),
    (sc.UniformAblation(1024, 75), "table3-cifar10-k75-fast4-pairwise-n100"),
]
SETTINGS = [
    (10_000, 0.05, ("majority", "margin", "pairwise")),
    (1_000, 0.05, ("majority",)),
    (10_000, 0.001, ("majority",)),
]
# What is spent by a look, as powers of t = n_i / n that are averaged.
SPENDING = {
    "t": (1.0,),
    "t^0.5": (0.5,),
    "t^1.5": (1.5,),
    "t^2": (2.0,),
    "(t + t^0.5) / 2": (1.0, 0.5),
}
REFERENCE = ("t", 0.05)
CHOICES = [("t", level) for level in (0.05, 0.1, 0.02, 0.01, 0.002)] + [
    (name, level) for name in SPENDING if name != "t" for level in (0.05, 0.02, 0.01)
]
# Budgets, relative to a setting's, through which ballots against radius are fitted.
BUDGETS = (1, 0.7, 1.4)
# How far above a threshold a share is, in standard errors of the fixed plan.
ABOVE = (2, 3, 4)
app = App(help=__doc__)


@app.default
def main(
    *,
    num_images: Annotated[int, Parameter(help="Simulated images for each case.")] = 10_000,
    record: Annotated[Path | None, Parameter(help="Write the result here, as JSON.")] = None,
) -> None:
    """Compare all choices on every chain, under every rule, and print what each costs."""
    started, cases = time.perf_counter(), []
    for num_samples, alpha, rules in SETTINGS:
        for ablation, name in CHAINS:
            for rule in rules:
                case = {
                    "num_features": ablation.num_features,
                    "num_retained": ablation.num_retained,
                    "shares_from": name,
                    "rule": rule,
                    "num_samples": num_samples,
                    "alpha": alpha,
                }
                print(case)
                share = shares_of(ablation, name, num_images)
                cases.append(case | compare(ablation, share, rule, num_samples, alpha))
    result = {
        "benchmark": "sequential-constants",
        "sampling_version": boundaries.VERSION,
        "num_images": num_images,
        "cases": cases,
        "just_above_thresholds": [power(ablation, 10_000, 0.05) for ablation, _ in CHAINS],
        "command": shlex.join(["python", *sys.argv]),
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if record is not None:
        write_record(record, result)


def compare(
    ablation: sc.UniformAblation,
    share: NDArray[np.float64],
    rule: str,
    num_samples: int,
    alpha: float,
) -> dict[str, Any]:
    """The fixed plan, and every choice, on images with these shares."""
    draws = [
        draw(np.random.default_rng(2), share, rule, round(scale * num_samples)) for scale in BUDGETS
    ]
    fixed = fixed_radius(ablation, rule, draws[0], alpha)
    lead = share - 0.75 * (1 - share) if rule == "margin" else share
    thresholds = _thresholds(ablation, rule)
    truth = float((np.searchsorted(thresholds, lead) - 1).mean())
    choices: list[dict[str, Any]] = []
    wanted = reference = 0.0
    for choice in CHOICES:
        results = [measure(ablation, rule, drawn, alpha, choice) for drawn in draws]
        # The distance to the radius that the shares have falls as a power of the ballots.
        distance = np.log([truth - result[0].mean() for result in results])
        line = np.polyfit(distance, np.log([result[2].mean() for result in results]), 1)
        if choice == REFERENCE:
            wanted, reference = float(distance[0]), float(np.polyval(line, distance[0]))
        radius, ballots, both, nobody_stops = results[0]
        values = {
            "spending": choice[0],
            "implausible": choice[1],
            "mean_radius": round(float(radius.mean()), 4),
            "mean_radius_where_nobody_stops": round(float(nobody_stops.mean()), 4),
            "images_below": round(_share(radius < fixed), 4),
            "images_above": round(_share(radius > fixed), 4),
            "largest_loss": int((fixed - radius).max()),
            "most_certified_accuracy_lost": round(
                max(_share(fixed >= rho) - _share(radius >= rho) for rho in range(fixed.max() + 1)),
                4,
            ),
            "ballots": round(float(ballots.mean()), 1),
            "ballots_with_prediction": round(float(both.mean()), 1),
            "ballots_for_same_radius": round(
                float(np.exp(np.polyval(line, wanted) - reference)), 4
            ),
        }
        print(values)
        choices.append(values)
    return {"mean_radius_fixed": round(float(fixed.mean()), 4), "choices": choices}


def power(ablation: sc.UniformAblation, num_samples: int, alpha: float) -> dict[str, Any]:
    """Majority: how often shares just above a threshold, and midway to the next, reach it."""
    thresholds = ablation.share_thresholds()
    error = np.sqrt(thresholds * (1 - thresholds) / num_samples)
    shares = {f"{above} standard errors": thresholds + above * error for above in ABOVE}
    shares["midway"] = (thresholds + np.append(thresholds[1:], 1)) / 2
    radii, places = np.repeat(np.arange(len(thresholds)), 200), []
    for place, share in shares.items():
        drawn = draw(np.random.default_rng(3), share[radii].clip(0, 1), "majority", num_samples)
        fixed = fixed_radius(ablation, "majority", drawn, alpha)
        row: dict[str, Any] = {"place": place, "fixed": round(_share(fixed >= radii), 4)}
        for choice in CHOICES:
            radius, ballots, *_ = measure(ablation, "majority", drawn, alpha, choice)
            row[f"{choice[0]}, {choice[1]}"] = {
                "reaching": round(_share(radius >= radii), 4),
                "ballots": round(float(ballots.mean()), 1),
            }
        places.append(row)
    return {
        "num_features": ablation.num_features,
        "num_retained": ablation.num_retained,
        "places": places,
    }


def shares_of(ablation: sc.UniformAblation, name: str, num_images: int) -> NDArray[np.float64]:
    """Shares of images whose radii are those of a stored record."""
    certified = json.loads((RESULTS / f"{name}.json").read_text())["certified_accuracy"]
    ends = np.concatenate(([0.35], ablation.share_thresholds(), [1.0]))
    rng = np.random.default_rng(1)
    having = -np.diff(np.concatenate(([1.0], certified, [0.0])))
    place = rng.choice(len(having), num_images, p=having)
    return rng.uniform(ends[place], ends[place + 1])


def draw(
    rng: np.random.Generator, share: NDArray[np.float64], rule: str, num_samples: int
) -> NDArray[np.int64]:
    """`(images, looks, 4)` counts of four kinds of ballots.

    Majority: for the class and for its rival; margin: a quarter of the rest is for a third class.
    Pairwise: above both rivals, above one, above the other, above none; either has the same share.
    """
    none, rest = np.zeros_like(share), 1 - share
    kinds = {
        "majority": [share, rest, none, none],
        "margin": [share, 0.75 * rest, 0.25 * rest, none],
        "pairwise": [
            np.maximum(share - rest, 0),
            *[np.minimum(share, rest)] * 2,
            np.maximum(rest - share, 0),
        ],
    }[rule]
    steps = np.diff(growing_looks(num_samples), prepend=0)
    drawn = np.stack([rng.multinomial(m, np.stack(kinds, axis=1)) for m in steps], axis=1)
    return np.cumsum(drawn, axis=1)


def measure(
    ablation: sc.UniformAblation,
    rule: str,
    ballots: NDArray[np.int64],
    alpha: float,
    choice: tuple[str, float],
) -> tuple[NDArray[np.int64], ...]:
    """Radii, ballots, ballots with PREDICT settled too, and radii where nobody stops."""
    powers, looks = SPENDING[choice[0]], ballots[0].sum(axis=1)

    def spent(looks: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(np.mean([(looks / looks[-1]) ** p for p in powers], axis=0))

    with (
        mock.patch.object(boundaries, "spent_share", spent),
        mock.patch.object(boundaries, "_IMPLAUSIBLE", choice[1]),
    ):
        boundaries.crossing_counts.cache_clear()
        certified, named = _certify(ablation, rule, ballots, alpha), _name(rule, ballots, alpha)
    boundaries.crossing_counts.cache_clear()
    settled = np.logical_or.accumulate(certified.decided, axis=1)
    settled[:, -1] = True
    both = settled & np.logical_or.accumulate(named.decided, axis=1)
    both[:, -1] = True
    stop = settled.argmax(axis=1)
    radius = certified.radius[np.arange(len(stop)), stop]
    return radius, looks[stop], looks[both.argmax(axis=1)], certified.radius[:, -1]


def fixed_radius(
    ablation: sc.UniformAblation, rule: str, ballots: NDArray[np.int64], alpha: float
) -> NDArray[np.int64]:
    """Radii of the fixed plan, which has one look."""
    return _certify(ablation, rule, ballots[:, -1:], alpha).radius[:, 0]


def _certify(
    ablation: sc.UniformAblation, rule: str, ballots: NDArray[np.int64], alpha: float
) -> Certified:
    looks, thresholds = ballots[0].sum(axis=1), _thresholds(ablation, rule)
    reached = np.ones(ballots.shape[:2], dtype=np.bool_)
    if rule == "margin":
        rival = ballots[:, :, 1:].max(axis=2)
        return margin_by_look(ballots[:, :, 0], rival, reached, looks, thresholds, alpha)
    wins = _pairwise_wins(ballots) if rule == "pairwise" else ballots[:, :, :1]
    return share_certificate(wins, reached, looks, thresholds, alpha)


def _name(rule: str, ballots: NDArray[np.int64], alpha: float) -> Named:
    looks, reached = ballots[0].sum(axis=1), np.ones(ballots.shape[:2], dtype=np.bool_)
    if rule != "pairwise":
        return name_top_by_look(ballots[:, :, :3], reached, looks, alpha)
    wins = _pairwise_wins(ballots)
    # The two rivals are even with one another.
    rivals = np.minimum(looks[:, None] - wins, looks[:, None] // 2)
    fewest = np.concatenate((wins.min(axis=2, keepdims=True), rivals), axis=2)
    return name_winner_by_look(fewest, reached, looks, alpha)


def _thresholds(ablation: sc.UniformAblation, rule: str) -> NDArray[np.float64]:
    return ablation.lead_thresholds() if rule == "margin" else ablation.share_thresholds()


def _pairwise_wins(ballots: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(ballots[:, :, :1] + ballots[:, :, 1:3])


def _share(which: NDArray[np.bool_]) -> float:
    return float(which.mean())


if __name__ == "__main__":
    app()
