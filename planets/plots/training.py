"""Figures of a training: the chips as the network sees them, and the labels of each split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from planets.archive import SPLITS
from planets.chips.store import ChipStore
from planets.config.training import TrainingSettings
from planets.labels import to_tags
from planets.plots.palette import FOREST, RIVER, SAND, blank, grid, headline, save, styled
from planets.training.augment import denormalize
from planets.training.datamodule import ChipsDataModule, channel_statistics

_COLUMNS = 8
_CHIPS = 24


def batch_figure(
    chips: NDArray[np.uint8],
    targets: NDArray[np.uint8],
    labels: Sequence[str],
    title: str = "Training chips, as the network sees them",
) -> Figure:
    """Draw chips, uint8 `(N, size, size, 3)`, with the tags of their targets, 0/1 `(N, L)`."""
    rows = -(-len(chips) // _COLUMNS)
    with styled():
        figure = blank(1.42 * _COLUMNS, 1.66 * rows + 0.6)
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
        for place, axes in enumerate(panels):
            axes.set_axis_off()
            if place < len(chips):
                axes.imshow(chips[place], interpolation="nearest")
                axes.set_title(
                    _caption(to_tags(targets[place], labels)), fontsize=7, fontweight="normal", pad=3
                )
        headline(figure, title)
    return figure


def _caption(tags: Sequence[str]) -> str:
    """Break tags into at most three lines of two."""
    lines = [" ".join(tags[start : start + 2]) for start in range(0, len(tags), 2)]
    return "\n".join(lines if len(lines) <= 3 else [*lines[:2], f"{lines[2]} ..."])


def label_histogram(
    labels: NDArray[np.uint8],
    splits: NDArray[np.str_],
    names: Sequence[str],
    title: str = "Labels of each split",
) -> Figure:
    """Draw the number of chips that carry each label, by split, the most frequent label on top.

    `labels` are 0/1 of shape `(N, L)`; `splits` has "train", "valid" or "test" for each chip.
    """
    order = np.argsort(labels.sum(0))
    places = np.arange(len(names))
    with styled():
        figure = blank(8.6, 0.36 * len(names) + 1.3)
        axes = figure.subplots()
        for offset, (split, color) in enumerate(zip(SPLITS, (FOREST, RIVER, SAND), strict=True)):
            counts = labels[splits == split].sum(0)[order]
            chips = int((splits == split).sum())
            axes.barh(
                places + 0.27 * (1 - offset), counts, 0.25, color=color, label=f"{split} ({chips:,} chips)"
            )
        for place, column in enumerate(order):
            total = int(labels[:, column].sum())
            axes.text(1.0, place, f"{total:,}", va="center", ha="right", transform=axes.get_yaxis_transform())
        axes.set_yticks(places, [names[column] for column in order])
        axes.set_xscale("log")
        axes.set_xlim(0.8, labels.sum(0).max() * 3)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        grid(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        headline(figure, title, "chips that carry the label; right: total")
    return figure


def save_training_figures(
    folder: Path,
    name: str,
    store: ChipStore,
    labels: NDArray[np.uint8],
    names: Sequence[str],
    parts: NDArray[np.str_],
    settings: TrainingSettings,
) -> dict[str, Path]:
    """Draw the training data of the model `name` into `folder`; return the file of each figure by its title.

    The arguments are those of `training.fit`; the batch is the first of its first epoch.
    """
    mean, std = channel_statistics(store, np.flatnonzero(parts == "train"))
    data = ChipsDataModule(store, labels, parts, settings, mean, std)
    images, targets = data.on_after_batch_transfer(next(iter(data.train_batches(0))))
    batch = denormalize(images[:_CHIPS], mean, std), np.asarray(targets[:_CHIPS] > 0, dtype=np.uint8)
    figures = {
        "batch": batch_figure(*batch, names, f"{name}: training chips, as the network sees them"),
        "labels": label_histogram(labels, parts, names, f"{name}: labels of each split"),
    }
    return {title: save(figure, folder / f"{title}.png") for title, figure in figures.items()}
