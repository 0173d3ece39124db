"""Figures of a model's errors: labels that are confused, and the chips with the lowest F2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from planets.metrics.f2 import f2_per_sample
from planets.plots.palette import CLAY, FOREST, GRID, INK, PAPER, RIVER, blank, headline, styled

_GREY = ListedColormap([GRID, GRID])
"""Color of the diagonal, where a label meets itself."""


def errors_figure(
    targets: NDArray[np.uint8],
    predictions: NDArray[np.uint8],
    labels: Sequence[str],
    title: str = "Errors that occur together",
) -> Figure:
    """Draw the number of chips on which two labels are wrong together.

    Left, errors of one kind: both missed below the diagonal, both false above it. Right, one label missed and
    the other false: the two are confused. Arrays are 0/1 of shape `(N, L)`.
    """
    true, predicted = targets.astype(bool), predictions.astype(bool)
    missed, false = (true & ~predicted).astype(int), (predicted & ~true).astype(int)
    below = np.tri(len(labels), k=-1, dtype=bool)
    size = 1.6 + 0.3 * len(labels)
    with styled():
        figure = blank(2 * size, size + 0.4)
        left, right = figure.subplots(1, 2)
        _counts(left, np.where(below, missed.T @ missed, 0), CLAY, labels)
        _counts(left, np.where(below.T, false.T @ false, 0), RIVER, labels)
        left.set_title("both missed", color=CLAY, loc="left")
        left.set_title("both false", color=RIVER, loc="right")
        _counts(right, missed.T @ false, FOREST, labels)
        right.set_title("row missed, column false", color=FOREST)
        for axes in (left, right):
            axes.imshow(np.where(np.eye(len(labels)), 1, np.nan), cmap=_GREY, vmin=0, vmax=1)
        headline(
            figure,
            title,
            f"number of chips, of {len(targets):,}; in total {int(missed.sum()):,} labels are missed and "
            f"{int(false.sum()):,} false",
        )
    return figure


def _counts(axes: Axes, counts: NDArray[np.int64], color: str, labels: Sequence[str]) -> None:
    """Draw the count of each pair with at least one chip, on top of what `axes` shows already."""
    shown = np.ma.masked_equal(counts, 0)
    top = max(1, int(counts.max()))
    shades = LinearSegmentedColormap.from_list("shades", [f"{color}1c", color])
    axes.imshow(shown, cmap=shades, norm=PowerNorm(0.5, 0, top))
    for row, column in np.argwhere(counts > 0):
        count = int(counts[row, column])
        ink = PAPER if count > 0.35 * top else INK
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=7, color=ink)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(places, labels, fontsize=8)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(labels) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def mistakes_figure(
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    targets: NDArray[np.uint8],
    predictions: NDArray[np.uint8],
    labels: Sequence[str],
    title: str = "Lowest F2",
    count: int = 12,
) -> Figure:
    """Draw the `count` chips with the lowest F2, each with its correct, missed and false labels.

    Args:
        pixels: uint8, such as a store's; only the chips drawn are read.
        rows: int64 of shape `(N,)`, positions of the chips in `pixels`.
        targets: 0/1 of shape `(N, L)`, as are the predictions.
    """
    scores = f2_per_sample(targets, predictions)
    worst = np.argsort(scores, kind="stable")[:count]
    chips = pixels[rows[worst]]
    columns = 4
    lines = -(-len(worst) // columns)
    with styled():
        figure = blank(12, 2.05 * lines + 0.7)
        panels = figure.subplots(lines, 2 * columns, squeeze=False, width_ratios=[1, 0.82] * columns)
        for place, axes in enumerate(panels.reshape(-1, 2)):
            for panel in axes:
                panel.set_axis_off()
            if place < len(worst):
                row = worst[place]
                axes[0].imshow(chips[place], interpolation="nearest")
                axes[0].set_anchor("N")
                _list_labels(
                    axes[1], scores[row], targets[row].astype(bool), predictions[row].astype(bool), labels
                )
        headline(figure, title, "F2, then labels: correct, - missed, + false")
    return figure


def _list_labels(
    axes: Axes, score: float, true: NDArray[np.bool_], predicted: NDArray[np.bool_], labels: Sequence[str]
) -> None:
    lines = [(f"{score:.2f}", INK)]
    for sign, which, color in (
        ("", true & predicted, FOREST),
        ("- ", true & ~predicted, CLAY),
        ("+ ", predicted & ~true, RIVER),
    ):
        lines += [(f"{sign}{label}", color) for label, on in zip(labels, which, strict=True) if on]
    for line, (text, color) in enumerate(lines):
        weight = "bold" if line == 0 else "normal"
        axes.text(0, 1 - 0.1 * line, text, color=color, fontsize=7.8, va="top", fontweight=weight)
