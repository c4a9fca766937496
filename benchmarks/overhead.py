"""MNIST with k = 45: the time outside the network, and the speed beside a textbook implementation.

    python benchmarks/overhead.py [--results results]

The network is that of the `fast` recipe, untrained: its speed does not depend on its weights. The
textbook gets whichever batch size and number of threads suit it best; beside that stands the
textbook as it is usually run, with 1 000 ablations in a batch and all of torch's threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import textbook
import torch
from instrumented import TimedClassifier
from timing import Spread, arguments, conditions, finish, in_turn

import sparsecert as sc
from sparsecert.models.architectures import build

D, K, CLASSES = 784, 45, 10
NUM_SELECTION, NUM_SAMPLES = 1_000, 10_000
BATCH_SIZES = (64, 128, 256, 512, 1_000, 2_000)
USUAL_BATCH_SIZE = 1_000
TRIAL = 2_000  # ablations that choose the textbook's batch size


def main() -> None:
    """Time the variants in turn and report."""
    options = arguments(__doc__ or "")
    record = {"benchmark": "overhead", "num_features": D, "num_retained": K} | conditions(
        options.rounds
    )
    threads = torch.get_num_threads()
    image = torch.rand(1, 28, 28)
    base = build("interpolating-cnn", (2, 28, 28), CLASSES).eval()
    classifiers = {
        "ours": TimedClassifier(base, sc.UniformAblation(D, K), CLASSES, precision="bfloat16"),
        "compiled": TimedClassifier(
            base, sc.UniformAblation(D, K), CLASSES, precision="bfloat16", compile=True
        ),
        "float32": TimedClassifier(base, sc.UniformAblation(D, K), CLASSES),
    }

    def with_threads(number: int, action: Callable[[], object]) -> None:
        torch.set_num_threads(number)
        try:
            action()
        finally:
            torch.set_num_threads(threads)

    choices = list(itertools.product(BATCH_SIZES, sorted({1, threads})))
    trials = in_turn(
        {
            f"{size} {number}": partial(
                with_threads,
                number,
                partial(textbook.count_votes, base, image, K, TRIAL, CLASSES, size),
            )
            for size, number in choices
        },
        rounds=2,
    )
    size, number = min(choices, key=lambda pair: min(trials[f"{pair[0]} {pair[1]}"].wall))

    def yardstick(batch_size: int) -> None:
        textbook.certify(base, image, K, NUM_SELECTION, NUM_SAMPLES, 0.05, CLASSES, batch_size)

    textbooks: dict[str, Callable[[], object]] = {
        "textbook": partial(with_threads, number, partial(yardstick, size)),
        "usual_textbook": partial(with_threads, threads, partial(yardstick, USUAL_BATCH_SIZE)),
    }
    actions: dict[str, Callable[[], object]] = {
        name: partial(classifier.certify, image[None], NUM_SELECTION, NUM_SAMPLES)
        for name, classifier in classifiers.items()
    }
    times = in_turn(actions | textbooks, options.rounds)
    record |= {
        "architecture": "interpolating-cnn",
        "num_ballots": NUM_SELECTION + NUM_SAMPLES,
        "workers": len(classifiers["ours"].workers(image[None], NUM_SAMPLES)),
        "textbook_batch_size": size,
        "textbook_threads": number,
    }
    for name, classifier in classifiers.items():
        end = "" if name == "ours" else f"_{name}"
        record[f"overhead_share{end}"] = classifier.overhead(options.rounds)
        for which, clock in itertools.product(textbooks, ("wall", "cpu")):
            speedup = times[which].over(times[name], clock)
            record[f"speedup_over_{which}{end}" + ("_cpu" if clock == "cpu" else "")] = speedup
    record["seconds"] = {name: Spread.of(taken.wall) for name, taken in times.items()}
    finish("overhead-mnist-k45", record, options.results)


if __name__ == "__main__":
    main()
