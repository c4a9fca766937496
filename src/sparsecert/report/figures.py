"""Figures, as functions that return a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from sparsecert.evaluation import Estimate, Evaluation, certified_accuracy_by_rho
from sparsecert.theory import ablation_shift

_NULL_COLOUR = (0.76, 0.83, 0.93)  # no grey and no natural colour of the data: NULL is neither
_CHANGED_COLOUR = (0.91, 0.12, 0.39)


def certified_accuracy_curve(evaluations: dict[str, Evaluation], unit: str) -> Figure:
    """Certified accuracy against rho, one line per rule, with 95 % bands.

    Args:
        evaluations: by name of the rule.
        unit: what rho counts, "pixels" or "features".
    """
    figure, axes = _certified_accuracy_plane(unit)
    for name, evaluation in evaluations.items():
        _draw_shares(axes, evaluation.certified_accuracy, name)
    axes.legend(title="rule")
    return figure


def plot_certified_accuracy(
    radius: ArrayLike, correct: ArrayLike, unit: str = "features"
) -> Figure:
    """Certified accuracy of your own certificates against rho, with a 95 % band.

    Args:
        radius: `(inputs,)` certified radii, -1 where nothing is certified.
        correct: `(inputs,)` booleans: whether the certified label is the right one.
        unit: what rho counts.

    Returns:
        A figure, to be shown in a notebook or saved by its `savefig`.
    """
    figure, axes = _certified_accuracy_plane(unit)
    _draw_shares(axes, certified_accuracy_by_rho(radius, correct))
    return figure


def _certified_accuracy_plane(unit: str) -> tuple[Figure, Axes]:
    figure, axes = _integer_plane()
    axes.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel=f"changed {unit}, rho", ylabel="certified accuracy", ylim=(0, 1))
    return figure, axes


def _draw_shares(axes: Axes, shares: Sequence[Estimate], name: str | None = None) -> None:
    """A line of shares by rho, and their intervals as a band."""
    rho = np.arange(len(shares))
    (line,) = axes.step(rho, [s.value for s in shares], where="mid", marker=".", label=name)
    axes.fill_between(
        rho,
        [s.low for s in shares],
        [s.high for s in shares],
        step="mid",
        alpha=0.15,
        color=line.get_color(),
    )


def shift_against_rho(d: int, retained: Sequence[int], max_rho: int, unit: str) -> Figure:
    """Delta of Theorem 1 against rho for several k (Figure 2 of the paper).

    Args:
        d: number of features.
        retained: the values of k; the first one is drawn bold.
        max_rho: where the axis ends.
        unit: what rho counts.
    """
    figure, axes = _integer_plane()
    rho = np.arange(min(max_rho, d) + 1)
    for k in retained:
        bold = k == retained[0]
        shift = ablation_shift(d, k, rho)
        axes.plot(rho, shift, linewidth=2.4 if bold else 1, label=f"k = {k}")
    axes.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel=f"changed {unit}, rho", ylabel="Δ(d, k, rho)", ylim=(0, 1))
    figure.legend(title=f"d = {d}", loc="outside right upper")
    return figure


def attacks_against_radius(
    points: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]], unit: str
) -> Figure:
    """Attack magnitude against certified radius, a point for each image; rings failed.

    No point may lie on or below the line: there the attack would contradict the certificate, or
    the classifier abstain.

    Args:
        points: `(images,)` certified radii, -1 for none, and magnitudes, -1 for failures, by name
            of the attack.
        unit: what both count.
    """
    figure, axes = _integer_plane()
    top = 1.1 * max([1, *(size.max() for _, size in points.values())])
    for number, (name, (radius, size)) in enumerate(points.items()):
        colour = f"C{number}"
        x = radius + 0.12 * (number - (len(points) - 1) / 2)  # side by side, not on each other
        found = size >= 0
        axes.plot(x[found], size[found], ".", color=colour, alpha=0.7, label=name)
        axes.plot(x[~found], np.full((~found).sum(), top), "o", color=colour, fillstyle="none")
    end = max([0, *(radius.max() for radius, _ in points.values())])
    axes.plot([-1, end], [-1, end], color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel=f"certified radius, {unit}", ylabel=f"attack magnitude, {unit}")
    axes.legend()
    return figure


@dataclass(frozen=True)
class TradeOff:
    """A certified classifier in a plane.

    Attributes:
        accuracy: share classified correctly.
        median: certified radius at which certified accuracy is still one half.
        accuracy_ends: 95 % interval; None where it is not known.
        median_ends: 95 % interval.
    """

    accuracy: float
    median: int
    accuracy_ends: tuple[float, float] | None = None
    median_ends: tuple[int, int] | None = None


def trade_off(data_sets: Mapping[str, Mapping[str, Sequence[TradeOff]]]) -> Figure:
    """Median certified radius against accuracy, a point for each classifier.

    Up and to the right is better.

    Args:
        data_sets: by name of the data set, which gets axes of its own, points by name of the
            series; the first one is joined by a line, and cut off where it leaves the others
            behind.
    """
    figure = Figure(figsize=(2.5 + 5 * len(data_sets), 4), layout="constrained")
    row = figure.subplots(1, len(data_sets), squeeze=False)[0]
    names = list(dict.fromkeys(name for points in data_sets.values() for name in points))
    for axes, (title, points) in zip(row, data_sets.items(), strict=True):
        first, *others = points.values()
        joined = sorted(first, key=lambda point: point.accuracy)
        accuracy = [100 * point.accuracy for point in joined]
        axes.plot(accuracy, [point.median for point in joined], "x-", color="grey", label=names[0])
        for name in list(points)[1:]:
            for place, point in enumerate(points[name]):
                axes.errorbar(
                    100 * point.accuracy,
                    point.median,
                    xerr=_arms(100 * point.accuracy, point.accuracy_ends, 100),
                    yerr=_arms(point.median, point.median_ends),
                    fmt="o",
                    markersize=4,
                    linewidth=0.7,
                    color=f"C{names.index(name) - 1}",
                    label=None if place else name,
                )
        lowest = min(point.accuracy for series in others for point in series)
        axes.set(
            xlabel="accuracy, %",
            ylabel="median certified radius",
            title=title,
            xlim=(max(0, 100 * lowest - 5), 100),
            ylim=(-0.5, None),
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    shown = [axes.get_legend_handles_labels() for axes in row]
    by_name = {name: handle for pair in shown for handle, name in zip(*pair, strict=True)}
    # Points come up anywhere, so it stands outside.
    figure.legend([by_name[name] for name in names], names, loc="outside right upper")
    return figure


def _arms(
    value: float, ends: tuple[float, float] | None, scale: float = 1
) -> list[list[float]] | None:
    """Lengths of an error bar to both sides."""
    return None if ends is None else [[value - scale * ends[0]], [scale * ends[1] - value]]


def training_curve(epochs: Sequence[int], accuracy: Sequence[float]) -> Figure:
    """Accuracy on ablated training inputs, by epoch."""
    figure, axes = _integer_plane(height=2.6)
    axes.plot(epochs, accuracy, marker="." if len(epochs) < 3 else None)
    axes.set(xlabel="epoch", ylabel="ablated accuracy", ylim=(0, 1))
    return figure


def _integer_plane(height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty plot whose horizontal axis counts."""
    figure = Figure(figsize=(6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure, axes


def picture(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    changed: NDArray[np.bool_] | None = None,
) -> Figure:
    """An image, or what an ablation leaves of it, without a frame; see `draw_image`."""
    figure = Figure(figsize=(1, 1), frameon=False)
    draw_image(figure.add_axes((0, 0, 1, 1)), image, mask, changed)
    return figure


def draw_image(
    axes: Axes,
    image: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    changed: NDArray[np.bool_] | None = None,
) -> None:
    """Draw an image, or what an ablation leaves of it; NULL is light blue.

    Args:
        axes: where.
        image: `(channels, height, width)` in [0, 1], with 1 or 3 channels.
        mask: `(height * width,)` retained pixels; all by default.
        changed: `(height * width,)` pixels that get a frame; none by default.
    """
    height, width = image.shape[1:]
    colours = np.broadcast_to(image.transpose(1, 2, 0), (height, width, 3)).copy()
    if mask is not None:
        colours[~mask.reshape(height, width)] = _NULL_COLOUR
    axes.imshow(colours, interpolation="nearest", vmin=0, vmax=1)
    for place in [] if changed is None else np.flatnonzero(changed):
        corner = place % width - 0.5, place // width - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=_CHANGED_COLOUR, linewidth=1))
    axes.set_axis_off()
