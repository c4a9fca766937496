"""Figures 3 and 5: adversarial examples beside their originals, MNIST, k = 45, Pointwise."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure

from sparsecert import data
from sparsecert.attacks.campaign import attack_images, run_target
from sparsecert.errors import InputError
from sparsecert.procedures.execution import LocalExecution
from sparsecert.procedures.run import load_evaluation_data
from sparsecert.report.attacks import fooling_images
from sparsecert.report.figures import draw_image
from sparsecert.reproduce.attacked import PLAN
from sparsecert.reproduce.experiment import Options, chosen_rows, trained_run
from sparsecert.reproduce.paper import AttackedRow
from sparsecert.reproduce.table2 import TABLE

_FIGURE3 = 4  # examples in the figure of the text; the appendix's shows those that come after
_FIGURE5 = 8


def draw_few(options: Options) -> Figure:
    """The first examples."""
    return _draw(options, 0, _FIGURE3)


def draw_more(options: Options) -> Figure:
    """The examples that come next."""
    return _draw(options, _FIGURE3, _FIGURE5)


def _draw(options: Options, skipped: int, number: int) -> Figure:
    """Train, attack the images of Table 2, and draw; a column per example."""
    retained = options.retained or (45,)
    row = chosen_rows(TABLE, replace(options, retained=retained))[0]
    assert isinstance(row, AttackedRow)
    run = trained_run(row, options)
    dataset = load_evaluation_data(run, None)
    indices = data.representatives(dataset.labels, options.limit or TABLE.limit)
    attacks = attack_images(
        run_target(run), dataset, indices, PLAN, LocalExecution(show_progress=True)
    )
    shown = fooling_images(dataset, {PLAN.attack: attacks}, skipped + number)[skipped:]
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
