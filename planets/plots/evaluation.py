"""Figures of an evaluation: F2 per label, precision-recall and calibration curves, and the training
history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from planets.chips.store import ChipStore
from planets.evaluation.evaluation import Evaluation
from planets.labels import LabelSet
from planets.plots.errors import errors_figure, mistakes_figure
from planets.plots.palette import (
    CLAY,
    FOREST,
    INK,
    PAPER,
    QUIET,
    RIVER,
    SAND,
    blank,
    grid,
    headline,
    save,
    styled,
)

_BINS = 10


def save_figures(
    folder: Path,
    name: str,
    evaluation: Evaluation,
    labels: LabelSet,
    store: ChipStore,
    history: Sequence[Mapping[str, float]] = (),
    best_epoch: int = 0,
) -> dict[str, Path]:
    """Draw the figures of the model `name`, on test, and return the file of each by its title.

    Args:
        folder: created if missing.
        name: name of the model, for the headlines.
        evaluation: its evaluation.
        labels: names the labels for people.
        store: the evaluated chips.
        history: metrics of each epoch; empty for a model without a training of its own, such as an ensemble.
        best_epoch: epoch of the checkpoint that was kept.
    """
    figures = _figures(name, evaluation, labels, store)
    if history:
        figures["history"] = history_figure(history, best_epoch, f"{name}: training")
    return {title: save(figure, folder / f"{title}.png") for title, figure in figures.items()}


def _figures(name: str, evaluation: Evaluation, label_set: LabelSet, store: ChipStore) -> dict[str, Figure]:
    test = evaluation.test
    labels = [label_set.title(label) for label in evaluation.labels]
    report = evaluation.report["test"]
    titled = {label_set.title(label): row for label, row in report["per_label"].items()}
    errors = test.targets, test.predictions, labels
    return {
        "labels": label_figure(report | {"per_label": titled}, f"{name}: F2 of each label"),
        "precision_recall": precision_recall_figure(
            test.targets, test.scores, test.predictions, labels, f"{name}: precision over recall"
        ),
        "calibration": calibration_figure(test.targets, test.scores, f"{name}: calibration"),
        "errors": errors_figure(*errors, f"{name}: errors that occur together"),
        "mistakes": mistakes_figure(store.pixels, test.rows, *errors, f"{name}: lowest F2"),
    }


def label_figure(report: Mapping[str, Any], title: str = "F2 of each label") -> Figure:
    """Draw the F2 of each label as a bar, with precision and recall on it, the most frequent label on top.

    `report` is a result of `metrics.f2.summary`.
    """
    rows = sorted(report["per_label"].items(), key=lambda item: item[1]["support"])
    with styled():
        figure = blank(8.6, 0.33 * len(rows) + 1.5)
        axes = figure.subplots()
        places = np.arange(len(rows))
        axes.barh(places, [row["f2"] for _, row in rows], height=0.62, color=FOREST, label="F2")
        for name, color, marker in (("precision", SAND, "D"), ("recall", RIVER, "o")):
            values = [row[name] for _, row in rows]
            dots: dict[str, Any] = {"marker": marker, "edgecolors": "white", "zorder": 3, "clip_on": False}
            axes.scatter(values, places, s=32, c=color, label=name, **dots)
        for place, (_, row) in zip(places, rows, strict=True):
            axes.text(1.07, float(place), f"{row['f2']:.2f}", va="center", ha="right", fontweight="bold")
        axes.set_yticks(places, [f"{label}  ({row['support']:,})" for label, row in rows])
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        grid(axes, "x")
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], names[::-1], loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        low, high = report["f2_interval"]
        note = (
            f"mean F2 per chip {report['f2']:.4f} (95 % {low:.4f} to {high:.4f}) on {report['chips']:,} "
            "chips; in brackets: chips that carry the label"
        )
        headline(figure, title, note)
    return figure


def precision_recall_figure(
    targets: NDArray[np.uint8],
    scores: NDArray[np.float32],
    predictions: NDArray[np.uint8],
    labels: Sequence[str],
    title: str = "Precision over recall",
) -> Figure:
    """Draw the curve of each label, with a dot at its predictions; arrays are `(N, L)`."""
    columns = 6
    with styled():
        figure = blank(11, 2.05 * -(-len(labels) // columns) + 0.8)
        panels = figure.subplots(-(-len(labels) // columns), columns, sharex=True, sharey=True, squeeze=False)
        for column, axes in enumerate(panels.flat):
            if column < len(labels):
                _curve(axes, targets[:, column], scores[:, column], predictions[:, column])
                axes.set_title(labels[column], fontsize=9)
            else:
                axes.set_axis_off()
        note = (
            "y: precision, x: recall; in the corner: average precision, the shaded area; dot: the predictions"
        )
        headline(figure, title, note)
    return figure


def _curve(
    axes: Axes, true: NDArray[np.uint8], scores: NDArray[np.float32], predicted: NDArray[np.uint8]
) -> None:
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.06)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    grid(axes)
    if not true.any():
        axes.text(0.5, 0.5, "no positive chip", ha="center", va="center", color=QUIET)
        return
    precision, recall, _ = precision_recall_curve(true, scores)
    average = -np.sum(np.diff(recall) * precision[:-1])
    # Drop the flat tail beyond full recall, and the point (0, 1) that scikit-learn appends by convention.
    full_recall = int(np.flatnonzero(recall == 1)[-1])
    precision, recall = np.append(precision[full_recall:-1], precision[-2]), recall[full_recall:]
    axes.fill_between(recall, precision, step="post", color=FOREST, alpha=0.13, linewidth=0)
    axes.step(recall, precision, where="post", color=FOREST, linewidth=1.5)
    label = axes.text(0.05, 0.06, f"{average:.2f}", color=INK, fontsize=10, fontweight="bold")
    label.set_path_effects([withStroke(linewidth=3, foreground=PAPER)])
    hits = (true & predicted).sum()
    if predicted.any():
        axes.plot(
            hits / true.sum(),
            hits / predicted.sum(),
            "o",
            color=CLAY,
            markersize=6,
            mec="white",
            clip_on=False,
        )


def calibration_figure(
    targets: NDArray[np.uint8],
    scores: NDArray[np.float32],
    title: str = "Calibration",
) -> Figure:
    """Draw a reliability diagram: the observed frequency of labels by score, and a histogram of the scores.

    All labels are pooled. Arrays are `(N, L)`.
    """
    mean, frequency, counts = _bins(targets, scores)
    error = float((counts * np.abs(mean - frequency)).sum() / counts.sum())
    with styled():
        figure = blank(6, 6.4)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        text = f"calibration error {error:.4f}"
        axes.plot(mean, frequency, marker="o", color=FOREST, markersize=6, mec="white", label=text)
        axes.set_ylabel("observed frequency")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, 1)
        axes.legend(loc="upper left")
        below.hist(scores.ravel(), np.linspace(0, 1, _BINS + 1), rwidth=0.85, color=RIVER)
        below.set_yscale("log")
        below.set_ylim(bottom=1)
        below.yaxis.set_major_formatter("{x:,.0f}")
        below.set_ylabel("count")
        below.set_xlabel("score")
        for panel in (axes, below):
            grid(panel)
        headline(figure, title)
    return figure


def _bins(
    targets: NDArray[np.uint8], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return mean score, observed frequency and count of each non-empty bin."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1).ravel()
    counts = np.bincount(bins, minlength=_BINS)
    filled = counts > 0
    mean = np.bincount(bins, scores.ravel(), _BINS)[filled] / counts[filled]
    frequency = np.bincount(bins, targets.ravel(), _BINS)[filled] / counts[filled]
    return mean, frequency, counts[filled]


def history_figure(
    history: Sequence[Mapping[str, float]], best_epoch: int, title: str = "Training"
) -> Figure:
    """Draw losses and scores over the epochs, with the epoch whose weights were kept."""
    epochs = [row["epoch"] for row in history]
    with styled():
        figure = blank(9, 3.9)
        left, right = figure.subplots(1, 2)
        for axes, lines in (
            (left, (("train_loss", "training", RIVER), ("valid_loss", "validation", FOREST))),
            (right, (("valid_f2_at_0.2", "F2 at threshold 0.2", FOREST), ("valid_map", "mAP", SAND))),
        ):
            for key, name, color in lines:
                values = [row[key] for row in history]
                text = f"{name}  {values[best_epoch - 1]:.3f}"
                axes.plot(epochs, values, "o-", color=color, label=text, markersize=3.5)
            axes.axvline(best_epoch, color=CLAY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(y=0.14)
            grid(axes)
            axes.legend(loc="best")
        left.set_title("loss")
        right.set_title("on validation")
        headline(figure, f"{title}: epoch {best_epoch} of {len(history)} was kept")
    return figure
