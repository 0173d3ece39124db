"""The 17 labels of a chip: their order, tags as text and as vectors, and the rule of the weather."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planets.errors import PlanetsError

WEATHER = ("clear", "partly_cloudy", "cloudy", "haze")
"""Exactly one of these applies to a chip; `cloudy` hides the ground, so it excludes all other labels."""

LAND_COVER = (
    "primary",
    "agriculture",
    "road",
    "water",
    "cultivation",
    "habitation",
    "bare_ground",
)
"""Land cover; these labels co-occur freely."""

RARE = (
    "selective_logging",
    "artisinal_mine",
    "blooming",
    "slash_burn",
    "conventional_mine",
    "blow_down",
)
"""Land use and events on fewer than 1 % of the real chips (spelling as in the dataset)."""

LABELS = (*WEATHER, *LAND_COVER, *RARE)
"""The column order of every label array in this project; a bundle stores the order it was trained with."""

_COLUMNS = {label: column for column, label in enumerate(LABELS)}


class UnknownTag(PlanetsError):
    """A tag that is none of the 17 labels."""


def to_vector(tags: Iterable[str]) -> NDArray[np.uint8]:
    """Return tags, in any order and possibly repeated, as 0/1 of shape `(17,)` in `LABELS` order.

    Raises:
        UnknownTag: a tag is none of the 17 labels.
    """
    vector = np.zeros(len(LABELS), dtype=np.uint8)
    for tag in tags:
        if tag not in _COLUMNS:
            raise UnknownTag(f"unknown tag {tag!r}; the labels are: {', '.join(LABELS)}")
        vector[_COLUMNS[tag]] = 1
    return vector


def to_tags(vector: ArrayLike, labels: Sequence[str] = LABELS) -> list[str]:
    """Return the tags of a 0/1 vector of shape `(len(labels),)`, in the order of `labels`."""
    values = np.asarray(vector)
    if values.shape != (len(labels),):
        raise ValueError(f"expected a vector of shape ({len(labels)},), got {values.shape}")
    return [label for label, value in zip(labels, values, strict=True) if value]


def parse_tags(text: str) -> frozenset[str]:
    """Split the `tags` cell of a table at white space; tags are whole words, so `partly_cloudy` is one."""
    return frozenset(text.split())


def one_weather(
    predictions: NDArray[np.uint8], probabilities: NDArray[np.float32], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Keep only the most probable weather of each chip; where that is `cloudy`, drop all other labels.

    Args:
        predictions: 0/1 of shape `(N, L)`; not modified.
        probabilities: of shape `(N, L)`.
        labels: the L labels, with all of `WEATHER` among them.

    Raises:
        ValueError: a label of `WEATHER` is missing from `labels`.
    """
    columns = np.array([list(labels).index(label) for label in WEATHER])
    best = columns[probabilities[:, columns].argmax(axis=1)]
    result = predictions.copy()
    result[:, columns] = 0
    result[best == list(labels).index("cloudy")] = 0
    result[np.arange(len(result)), best] = 1
    return result
