"""Figure 4: with the mean encoding it shows which pixels are ablated."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from sparsecert import data
from sparsecert.designs.uniform import UniformAblation
from sparsecert.errors import InputError
from sparsecert.report.figures import draw_image
from sparsecert.reproduce.experiment import Options
from sparsecert.runs.train import standardisation
from sparsecert.smoothing.encoding import MeanEncoding
from sparsecert.streams import Stage, stream

DATASET = "mnist"
RETAINED = 45
IMAGE = 0  # of the test set


def draw(options: Options) -> Figure:
    """An image, and what the base classifier is shown of it; nothing is trained."""
    dataset = data.load(options.dataset or DATASET, "test")
    if len(dataset.input_shape) != 3:
        raise InputError(f"expected a data set of images, got {dataset.name!r}")
    mean, _ = standardisation(data.load(dataset.name, "train"), "mean")
    encoding = MeanEncoding(mean or ())
    ablation = UniformAblation(dataset.num_features, next(iter(options.retained), RETAINED))
    x = dataset.batch([IMAGE])
    mask = torch.from_numpy(ablation.draw(stream(0, Stage.ILLUSTRATION, IMAGE), 1))
    figure = Figure(figsize=(4, 2.2), layout="constrained")
    whole, ablated = figure.subplots(1, 2)
    draw_image(whole, x[0].numpy())
    whole.set_title("image", fontsize=8)
    draw_image(ablated, encoding(x, mask)[0].numpy())
    ablated.set_title(f"{ablation.num_retained} pixels, the rest at the mean", fontsize=8)
    return figure
