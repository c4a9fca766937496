"""Patches on column bands: the published rule beside ours, on the same ballots.

    python benchmarks/patches.py runs/mnist-columns2 --threat patch:5x5 \\
        --record results/benchmark-patches-mnist-columns2.json

The published rule (Levine and Feizi, NeurIPS 2020) counts a ballot for every class whose softmax
is at least theta, and certifies a lead of twice the bands that a patch can touch. Its theta and
our tau are chosen out of the same list, by certified accuracy on the training examples that the
run held out, and applied to the test images. Ballots that the run lacks are cast and stored.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from sparsecert.certification import certify_ballots
from sparsecert.designs.family import FixedAblation, family_of
from sparsecert.designs.threats import threat_of
from sparsecert.evaluation import share
from sparsecert.procedures.abstention import CANDIDATES, held_out_images
from sparsecert.procedures.execution import LocalExecution
from sparsecert.procedures.family import FamilyProcedure
from sparsecert.procedures.procedure import RunImages
from sparsecert.procedures.run import run_images
from sparsecert.records.record import classifier_values, hardware, write_record
from sparsecert.rules import FAMILY_RULES
from sparsecert.runs.folder import RunFolder
from sparsecert.theory.coverage import WindowReach

app = App(help=__doc__)
Answers = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # whether right, and whether certified too


def published(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], theta: float, touched: int
) -> Answers:
    """The published rule: the class of most counts, the smaller index first where two are equal."""
    counts = (probabilities >= np.float32(theta)).sum(axis=1)
    rows, label = np.arange(len(counts)), counts.argmax(axis=1)
    rivals = counts + (np.arange(counts.shape[1]) < label[:, None])
    rivals[rows, label] = -1
    right = label == targets
    return right, right & (counts[rows, label] >= rivals.max(axis=1) + 2 * touched)


def ours(
    scores: NDArray[np.float32],
    targets: NDArray[np.int64],
    family: FixedAblation,
    rule: str,
    threat: str,
    tau: float,
) -> Answers:
    """A rule of this package."""
    result = certify_ballots(scores, family, rule, threat=threat, abstain=tau)
    right = result.label == targets
    return right, right & (result.radius >= 1)


def cast(images: RunImages, threat: str) -> Any:
    """The ballots of these images, read or cast."""
    procedure = FamilyProcedure("pairwise", threat, CANDIDATES[-1])
    procedure.count(images, LocalExecution(show_progress=True))
    return procedure.stored(images).votes


@app.default
def main(
    run: Path,
    *,
    threat: str = "patch:5x5",
    limit: Annotated[int | None, Parameter(help="Test images, evenly spread; all.")] = None,
    record: Annotated[Path | None, Parameter(help="Write the result here, as JSON.")] = None,
) -> None:
    """Choose thresholds on held-out training images, and compare the rules on test images."""
    folder = RunFolder.open(run)
    family = family_of(folder.config.design)
    reach = threat_of(threat).reach(family)
    assert isinstance(reach, WindowReach)
    touched = int(reach.touched[0].sum(axis=1).max())
    chosen_on, reported = held_out_images(folder), run_images(folder, limit=limit)
    images = (chosen_on, reported)
    votes = [cast(some, threat) for some in images]

    def answers(rule: str, threshold: float, which: int) -> Answers:
        scores, targets = votes[which].scores(threshold), images[which].targets
        if rule == "published":
            return published(votes[which].scores(1.0), targets, threshold, touched)
        return ours(scores, targets, family, rule, threat, threshold)

    rules: dict[str, dict[str, Any]] = {}
    found: dict[str, NDArray[np.bool_]] = {}
    for rule in ("published", *FAMILY_RULES):
        best = max(CANDIDATES, key=lambda t: answers(rule, t, 0)[1].sum())
        right, certified = answers(rule, best, 1)
        found[rule] = certified
        rules[rule] = {"threshold": best, **_shares(right, certified)}
        if rule != "published":
            rules[rule]["without_abstaining"] = _shares(*answers(rule, 0.0, 1))
        print(rule, rules[rule])
    for rule in FAMILY_RULES:
        difference = found[rule].astype(float) - found["published"]
        half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
        mean = difference.mean()
        rules[rule]["above_published"] = [
            round(float(v), 4) for v in (mean, mean - half, mean + half)
        ]
    if record is not None:
        result = {
            "benchmark": "patches",
            **classifier_values(folder.config),
            "threat": threat,
            "touched_sets": touched,
            "chosen_on": len(chosen_on.indices),
            "num_images": len(reported.indices),
            "rules": rules,
            "command": shlex.join(["python", "benchmarks/patches.py", *sys.argv[1:]]),
            "hardware": hardware(),
            "training_seconds": folder.training_seconds(),
        }
        write_record(record, result)


def _shares(right: NDArray[np.bool_], certified: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Shares and their 95 % intervals."""
    found = {"accuracy": share(right), "certified_accuracy": share(certified)}
    return {name: [round(v, 4) for v in (s.value, s.low, s.high)] for name, s in found.items()}


if __name__ == "__main__":
    app()
