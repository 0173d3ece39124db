"""Pictures of a training: what the network is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from planets.labels import decode
from planets.palette import blank, headline, styled

_COLUMNS = 8


def batch_figure(
    chips: NDArray[np.uint8],
    targets: NDArray[np.uint8],
    labels: Sequence[str],
    title: str = "Training chips, as the network sees them",
) -> Figure:
    """Draw chips with their tags.

    Args:
        chips: uint8 of shape `(N, size, size, 3)`; `augment.denormalise` makes them from images.
        targets: 0/1 of shape `(N, L)`.
        labels: the L labels.
        title: above the picture.
    """
    rows = -(-len(chips) // _COLUMNS)
    with styled():
        figure = blank(1.42 * _COLUMNS, 1.66 * rows + 0.6)
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
        for place, axes in enumerate(panels):
            axes.set_axis_off()
            if place < len(chips):
                axes.imshow(chips[place], interpolation="nearest")
                axes.set_title(
                    _caption(decode(targets[place], labels)), fontsize=7, fontweight="normal", pad=3
                )
        headline(figure, title)
    return figure


def _caption(tags: Sequence[str]) -> str:
    """Break tags into lines of two, three lines at most."""
    lines = [" ".join(tags[start : start + 2]) for start in range(0, len(tags), 2)]
    return "\n".join(lines if len(lines) <= 3 else [*lines[:2], f"{lines[2]} ..."])
