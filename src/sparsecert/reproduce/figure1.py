"""Figure 1: ablated samples of one digit at several k, and how the base classifiers vote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure

from sparsecert.procedures.run import load_evaluation_data
from sparsecert.procedures.sampled import SampledProcedure
from sparsecert.report.figures import draw_image
from sparsecert.reproduce.experiment import Options, chosen_rows, trained_run
from sparsecert.reproduce.table1 import TABLE
from sparsecert.streams import Stage, stream

RETAINED = (5, 25, 45, 100)
IMAGE = 0  # of the test set
NUM_SAMPLES = 5
NUM_VOTES = 10_000


def draw(options: Options) -> Figure:
    """Train the classifiers of Table 1 that are missing, and draw; one row of samples per k."""
    retained = options.retained or RETAINED
    rows = chosen_rows(TABLE, replace(options, retained=retained))
    figure = Figure(figsize=(1.3 * (NUM_SAMPLES + 1), 1.55 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), NUM_SAMPLES + 1, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        run = trained_run(row, options)
        smoothed = SampledProcedure().classifier(run)
        dataset = load_evaluation_data(run, None)
        x = dataset.batch([IMAGE])
        masks = smoothed.ablation.draw(stream(0, Stage.ILLUSTRATION, IMAGE), NUM_SAMPLES)
        answers = smoothed.base_answers(x, torch.from_numpy(masks))
        votes = smoothed.tally(x, NUM_VOTES, Stage.PREDICTION).first_choice[0]
        draw_image(axes[0], x[0].numpy())
        share = votes.max() / votes.sum()
        axes[0].set_title(f"{row.label}\n{int(np.argmax(votes))}: {share:.0%} of votes", fontsize=8)
        for place, (mask, answer) in enumerate(zip(masks, answers, strict=True), start=1):
            draw_image(axes[place], x[0].numpy(), mask)
            axes[place].set_title(f"{dataset.class_names[answer]}", fontsize=8)
    return figure
