"""Style of the figures: colors, sizes and the canvas."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, QUIET, GRID, PAPER = "#1c2b33", "#6b7b84", "#e3e8eb", "#ffffff"
FOREST, RIVER, CLAY, SAND = "#2a7f62", "#2f6f9f", "#c4553b", "#d9a441"
"""Main, secondary, warning and highlight; distinct in greyscale and for color-blind readers."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}

_DPI = 130


def styled() -> AbstractContextManager[None]:
    """Return a context that applies the style, and restores matplotlib's settings on exit."""
    return rc_context(_STYLE)


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, without a window and without global state."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def headline(figure: Figure, title: str, note: str = "") -> None:
    """Add a title at the upper left and a note at the lower left."""
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    if note:
        figure.supxlabel(note, x=0.012, ha="left", fontsize=9, color=QUIET)


def grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw faint grid lines behind the data."""
    axes.grid(True, axis=axis, color=GRID, linewidth=0.8)
    axes.tick_params(which="both", length=0)


def save(figure: Figure, file: Path) -> Path:
    """Write a figure as PNG and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    return file
