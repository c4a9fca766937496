"""The paper's Figures 1 to 5, and the trade-off between accuracy and radius of all results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure

from sparsecert import data
from sparsecert.attacks.campaign import attack_images, run_target
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.procedures.run import load, load_evaluation_data
from sparsecert.report.attacks import fooling_image, smallest_changes
from sparsecert.report.figures import TradeOff, draw_image, shift_against_rho, trade_off
from sparsecert.reproduce.experiment import PLAN, Options, chosen_rows, trained_run
from sparsecert.reproduce.overview import Results, read_results
from sparsecert.reproduce.paper import AttackedRow, CertifiedRow
from sparsecert.reproduce.tables import TABLES
from sparsecert.runs.train import standardisation
from sparsecert.smoothing.encoding import MeanEncoding
from sparsecert.smoothing.sampled import SmoothedClassifier
from sparsecert.streams import Stage
from sparsecert.streams.samples import samples

_IMAGE = 0  # of the test set, in Figures 1 and 4
_NUM_SAMPLES, _NUM_VOTES = 5, 10_000  # of Figure 1
_FIGURE3, _FIGURE5 = 4, 8  # adversarial examples; the appendix's are those that come after
_SERIES = {"partition": "fixed sets, ", "inversive": "circles, ", "lee2019": "Lee et al., "}


def ablated_samples(options: Options) -> Figure:
    """Figure 1: ablated samples of one digit at several k, and how the base classifiers vote.

    Classifiers of Table 1 that are missing are trained.
    """
    retained = options.retained or (5, 25, 45, 100)
    rows = chosen_rows(TABLES["table1"], replace(options, retained=retained))
    figure = Figure(figsize=(1.3 * (_NUM_SAMPLES + 1), 1.55 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), _NUM_SAMPLES + 1, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        run = trained_run(row, options)
        smoothed, dataset = load(run.path), load_evaluation_data(run, None)
        assert isinstance(smoothed, SmoothedClassifier)
        x = dataset.batch([_IMAGE])
        masks, answers = smoothed.few_ballots(x, _NUM_SAMPLES, _IMAGE)
        votes = smoothed.tally(x, _NUM_VOTES, Stage.PREDICTION, seed=0).first_choice[0]
        share = votes.max() / votes.sum()
        draw_image(axes[0], x[0].numpy())
        axes[0].set_title(f"{row.label}\n{int(np.argmax(votes))}: {share:.0%} of votes", fontsize=8)
        for place, mask, answer in zip(axes[1:], masks, answers, strict=True):
            draw_image(place, x[0].numpy(), mask)
            place.set_title(f"{dataset.class_names[answer]}", fontsize=8)
    return figure


def shift_on_mnist(options: Options) -> Figure:
    """Figure 2: how the bound Delta grows with rho, for several k. Nothing is trained."""
    return shift_against_rho(784, options.retained or (45, 5, 15, 25, 75, 100), 60, "pixels")


def adversarial_examples(options: Options, skipped: int, number: int) -> Figure:
    """Figures 3 and 5: what fools a classifier of Table 2, under its original.

    It is trained, and the table's images are attacked, unless that is done.

    Args:
        options: narrow it down.
        skipped: examples that are not shown.
        number: those shown after them.

    Raises:
        InputError: if there are none.
    """
    table = TABLES["table2"]
    row = chosen_rows(table, replace(options, retained=options.retained or (45,)))[0]
    assert isinstance(row, AttackedRow)
    run = trained_run(row, options)
    dataset = load_evaluation_data(run, None)
    indices = data.representatives(dataset.labels, options.limit or table.limit)
    attacks = attack_images(run_target(run), dataset, indices, PLAN, options.execution)
    found = sorted(smallest_changes({PLAN.attack: attacks}).items())[skipped : skipped + number]
    shown = [fooling_image(dataset, {PLAN.attack: attacks}, *change) for change in found]
    if not shown:
        raise InputError(
            f"expected more than {skipped} images that the attack fools, got fewer; "
            "attack more with --limit"
        )
    figure = Figure(figsize=(1.5 * len(shown), 3.4), layout="constrained")
    above, below = figure.subplots(2, len(shown), squeeze=False)
    for original, adversarial, example in zip(above, below, shown, strict=True):
        draw_image(original, example.original)
        original.set_title(example.target, fontsize=8)
        draw_image(adversarial, example.adversarial)
        adversarial.set_title(f"{example.answer}, {example.size} pixels", fontsize=8)
    return figure


def mean_encoded_image(options: Options) -> Figure:
    """Figure 4: with the mean encoding it shows which pixels are ablated. Nothing is trained."""
    dataset = data.load(options.dataset or "mnist", "test")
    if len(dataset.input_shape) != 3:
        raise InputError(f"expected a data set of images, got {dataset.name!r}")
    mean, _ = standardisation(data.load(dataset.name, "train"), "mean")
    ablation = UniformAblation(dataset.num_features, next(iter(options.retained), 45))
    x = dataset.batch([_IMAGE])
    mask = torch.from_numpy(ablation.draw(samples(0, Stage.ILLUSTRATION, _IMAGE, 1)))
    figure = Figure(figsize=(4, 2.2), layout="constrained")
    whole, ablated = figure.subplots(1, 2)
    draw_image(whole, x[0].numpy())
    whole.set_title("image", fontsize=8)
    draw_image(ablated, MeanEncoding(mean or ())(x, mask)[0].numpy())
    ablated.set_title(f"{ablation.num_retained} pixels, the rest at the mean", fontsize=8)
    return figure


def frontier(options: Options) -> Figure:
    """Accuracy against median certified radius of all results, beside the paper's; trains nothing.

    Of one data set, or of each that the paper has certified accuracies of.

    Raises:
        InputError: if the results folder holds no certified classifier of them.
    """
    results = read_results(options.results)
    names = ("mnist", "cifar10") if options.dataset is None else (options.dataset,)
    points = {name: _certified_classifiers(name, results) for name in names}
    points = {name: series for name, series in points.items() if len(series) > 1}
    if not points:
        raise InputError(
            f"expected records of classifiers certified on {' or '.join(names)} in "
            f"{options.results}; sparsecert certify --record writes them"
        )
    return trade_off(points)


def _certified_classifiers(dataset: str, results: Results) -> dict[str, list[TradeOff]]:
    """The paper's classifiers of a data set, then those of the records by rule."""
    paper = {
        TradeOff(row.accuracy / 100, row.median or 0)
        for table in TABLES.values()
        for row in table.rows
        if isinstance(row, CertifiedRow) and row.dataset == dataset
        if row.accuracy is not None and row.encoding == "two-channel"
    }
    points = {"the paper": list(paper)}
    for record in results.values():
        if record.get("kind") is not None or record["dataset"] != dataset:
            continue  # attacks and accuracies of base classifiers have kinds
        if "units" in record:
            continue  # its radii count something else
        name = _SERIES.get(record["design"], "") + record["rule"]
        name += ", trained for a radius" if "radius_trained_for" in record else ""
        ends = record["intervals"]
        low, high = ends["median_certified_robustness"] or (None, None)
        points.setdefault(name, []).append(
            TradeOff(
                record["accuracy"],
                record["median_certified_robustness"] or 0,
                tuple(ends["accuracy"]),
                (low or 0, high or 0),
            )
        )
    return points


FIGURES: dict[str, Callable[[Options], Figure]] = {
    "figure1": ablated_samples,
    "figure2": shift_on_mnist,
    "figure3": lambda options: adversarial_examples(options, 0, _FIGURE3),
    "figure4": mean_encoded_image,
    "figure5": lambda options: adversarial_examples(options, _FIGURE3, _FIGURE5),
    "frontier": frontier,
}
