"""Images of ImageNet's size, k = 1 000 of d = 50 176, ResNet-50: the time outside the network.

    python benchmarks/imagenet_size.py [--results results]

The network is untrained: its speed does not depend on its weights.
"""

from __future__ import annotations

import resource
from functools import partial

import torch
from instrumented import TimedClassifier
from timing import Spread, arguments, conditions, finish, in_turn

import sparsecert as sc
from sparsecert.models.architectures import build

SIDE, K, CLASSES = 224, 1_000, 1_000
NUM_SELECTION = NUM_SAMPLES = 54  # a pass for each of two workers


def main() -> None:
    """Time both precisions in turn and report."""
    options = arguments(__doc__ or "")
    record = {"benchmark": "imagenet-size", "num_features": SIDE**2, "num_retained": K}
    record |= conditions(options.rounds) | {"architecture": "resnet50"}
    x = torch.rand(1, 3, SIDE, SIDE)
    base = build("resnet50", (6, SIDE, SIDE), CLASSES).eval()
    classifiers = {
        precision: TimedClassifier(
            base, sc.UniformAblation(SIDE**2, K), CLASSES, precision=precision
        )
        for precision in ("bfloat16", "float32")
    }
    times = in_turn(
        {
            precision: partial(classifier.certify, x, NUM_SELECTION, NUM_SAMPLES)
            for precision, classifier in classifiers.items()
        },
        options.rounds,
    )
    ballots = NUM_SELECTION + NUM_SAMPLES
    for precision, classifier in classifiers.items():
        record[f"overhead_share_{precision}"] = classifier.overhead(options.rounds)
        record[f"ballots_per_second_{precision}"] = Spread.of(
            [ballots / seconds for seconds in times[precision].wall]
        )
    record["num_ballots"] = ballots
    record["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    finish("imagenet-size", record, options.results)


if __name__ == "__main__":
    main()
