"""The picture of the first page and of the README: an input, its votes, its certificate.

    python docs/images/how_it_works.py runs/mnist-k38 --index 2

draws a test image of a run, its first eight ablations and what they are voted to be, the count of
10 000 others, and how far an attacker can move it. Two files, for light and for dark pages.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

import sparsecert as sc
from sparsecert.designs.uniform import UniformAblation
from sparsecert.procedures.run import load_evaluation_data
from sparsecert.runs.folder import RunFolder

_VIEWS = 8
_HERE = Path(__file__).parent
mpl.rcParams.update({"font.size": 11, "svg.fonttype": "path", "svg.hashsalt": "how it works"})


@dataclass(frozen=True)
class Colours:
    """Of a page and what is drawn on it; `right` and `wrong` are told apart by all eyes."""

    page: str
    ink: str
    faint: str
    null: str
    right: str
    wrong: str


THEMES = {
    "light": Colours("#ffffff", "#1b1f24", "#6a737d", "#c2d4ed", "#0a62a9", "#b34700"),
    "dark": Colours("#131416", "#e6e6e6", "#9aa4af", "#34507a", "#5ab4f5", "#ff9d52"),
}


@dataclass(frozen=True)
class Shown:
    """What is drawn.

    Attributes:
        image: `(height, width)` in [0, 1].
        masks: `(views, pixels)` retained sets.
        votes: `(views,)` class of each view.
        counts: `(classes,)` votes of all ablations that estimate.
        certificate: of the image, by the majority rule.
        ablation: how it is ablated.
        alpha: what the certificate may err with.
    """

    image: NDArray[np.float32]
    masks: NDArray[np.bool_]
    votes: NDArray[np.int64]
    counts: NDArray[np.int64]
    certificate: sc.Certification
    ablation: UniformAblation
    alpha: float

    @property
    def label(self) -> int:
        """The certified class."""
        return int(self.certificate.label[0])

    @property
    def radius(self) -> int:
        """Changed pixels that it withstands."""
        return int(self.certificate.radius[0])


def shown(run: Path, index: int, seed: int) -> Shown:
    """Count the votes of a test image."""
    smoothed: Any = sc.load(run)
    dataset = load_evaluation_data(RunFolder.open(run))
    x = dataset.batch([index])
    masks, votes = smoothed.few_ballots(x, _VIEWS, index)
    certificate = smoothed.certify(x, seed=seed, indices=[index])
    return Shown(
        image=x[0, 0].numpy(),
        masks=masks,
        votes=np.asarray(votes),
        counts=certificate.tally.votes[0],
        certificate=certificate,
        ablation=smoothed.ablation,
        alpha=certificate.alpha,
    )


def draw(what: Shown, colours: Colours) -> Figure:
    """Four steps, read along the rows."""
    figure = Figure(figsize=(7.2, 6.4), facecolor=colours.page)
    steps = figure.add_gridspec(
        2,
        2,
        width_ratios=(1, 1.9),
        height_ratios=(1, 0.95),
        wspace=0.2,
        hspace=0.42,
        left=0.055,
        right=0.975,
        top=0.895,
        bottom=0.1,
    )
    _image(figure.add_subplot(steps[0, 0]), what, colours)
    grid = steps[0, 1].subgridspec(2, 4, hspace=0.3, wspace=0.08)
    views = [figure.add_subplot(grid[i // 4, i % 4]) for i in range(_VIEWS)]
    for axes, mask, vote in zip(views, what.masks, what.votes, strict=True):
        _view(axes, what, mask, int(vote), colours)
    _counts(figure.add_subplot(steps[1, 0]), what, colours)
    _certificate(figure.add_subplot(steps[1, 1]), what, colours)
    d, k = what.ablation.num_features, what.ablation.num_retained
    total = f"{what.counts.sum():,}".replace(",", " ")
    for x, y, number, title in (
        (0.03, 0.955, 1, f"An input of {d} pixels"),
        (0.385, 0.955, 2, f"Copies that show {k} of them vote"),
        (0.03, 0.462, 3, f"{total} votes"),
        (0.385, 0.462, 4, "How far an attacker can move them"),
    ):
        figure.text(x, y, f"{number}  {title}", color=colours.ink, weight="bold", size=12)
    return figure


def _bare(axes: Axes, colours: Colours) -> None:
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(color=colours.faint, linewidth=0.8)


def _image(axes: Axes, what: Shown, colours: Colours) -> None:
    axes.imshow(what.image, cmap="gray", vmin=0, vmax=1)
    _bare(axes, colours)


def _view(axes: Axes, what: Shown, mask: NDArray[np.bool_], vote: int, colours: Colours) -> None:
    grey = np.repeat(what.image[:, :, None], 3, axis=2)
    retained = mask.reshape(what.image.shape)[:, :, None]
    axes.imshow(np.where(retained, grey, to_rgb(colours.null)))
    _bare(axes, colours)
    colour = colours.right if vote == what.label else colours.wrong
    axes.set_title(f"“{vote}”", color=colour, weight="bold", size=12, pad=3)


def _counts(axes: Axes, what: Shown, colours: Colours) -> None:
    classes = np.arange(len(what.counts))
    bars = [colours.right if c == what.label else colours.wrong for c in classes]
    axes.barh(classes, what.counts, color=bars, height=0.72)
    axes.invert_yaxis()
    axes.set(yticks=classes, xticks=[], facecolor=colours.page)
    axes.set_xlim(0, what.counts.max() * 1.05)
    for c, count in enumerate(what.counts.tolist()):
        inside = count > what.counts.max() / 2
        axes.text(
            count - what.counts.max() * 0.03 if inside else count + what.counts.max() * 0.03,
            c,
            f"{count}",
            va="center",
            ha="right" if inside else "left",
            color=colours.page if inside else colours.ink,
        )
    axes.tick_params(colors=colours.ink, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _certificate(axes: Axes, what: Shown, colours: Colours) -> None:
    """The least share of votes that is left to the class, by the number of changed pixels."""
    d, k = what.ablation.num_features, what.ablation.num_retained
    rho = np.arange(what.radius + 4)
    bound = float(what.certificate.lower_bound[0])
    left = bound - np.asarray(sc.ablation_shift(d, k, rho))
    safe = left > 0.5
    axes.bar(rho[safe], left[safe], color=colours.right, width=0.72)
    axes.bar(rho[~safe], left[~safe], color=colours.wrong, width=0.72, alpha=0.6)
    axes.axhline(0.5, color=colours.ink, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_facecolor(colours.page)
    axes.set(
        ylim=(0, 1.12),
        yticks=[0, 0.5, 1],
        yticklabels=["0", "½", "1"],
        xlim=(-0.6, rho[-1] + 0.6),
        xticks=rho,
    )
    axes.set_xlabel("changed pixels", color=colours.ink)
    axes.set_title(
        f"share of votes that stay with “{what.label}”, at least",
        color=colours.faint,
        size=11,
        loc="left",
        pad=2,
    )
    axes.tick_params(colors=colours.ink, length=0)
    for name, side in axes.spines.items():
        side.set(color=colours.faint, visible=name == "bottom")
    arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "color": colours.ink, "linewidth": 1.4}
    axes.annotate("", (what.radius, 0.57), (what.radius, 0.84), arrowprops=arrow)
    axes.text(
        what.radius + 3.5,
        0.855,
        f"no change of {what.radius} pixels\nalters the answer",
        color=colours.ink,
        ha="right",
        va="bottom",
        weight="bold",
        linespacing=1.25,
    )


def main() -> None:
    """Write both pictures and say what they show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="of a data set of grey images")
    parser.add_argument("--index", type=int, default=0, help="of the test image")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    what = shown(given.run, given.index, given.seed)
    for theme, colours in THEMES.items():
        path = _HERE / f"how-it-works-{theme}.svg"
        draw(what, colours).savefig(path, metadata={"Date": None}, facecolor=colours.page)
        print(path)
    print(f"class {what.label}, radius {what.radius}, votes {what.counts.tolist()}")
    print(f"at least {what.certificate.lower_bound[0]:.4f} of all, alpha = {what.alpha}")


if __name__ == "__main__":
    main()
