"""The 17 labels of a chip, and the way between a row of tags and a vector."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planets.errors import PlanetsError

WEATHER = ("clear", "partly_cloudy", "cloudy", "haze")
"""Exactly one of these is true of a chip; `cloudy` (nothing is seen) stands alone."""

LAND_COVER = (
    "primary",
    "agriculture",
    "road",
    "water",
    "cultivation",
    "habitation",
    "bare_ground",
)
"""What covers the ground; these co-occur freely."""

RARE = (
    "selective_logging",
    "artisinal_mine",
    "blooming",
    "slash_burn",
    "conventional_mine",
    "blow_down",
)
"""Land use and events seen on fewer than 1 % of the real chips (spelling as in the data set)."""

LABELS = (*WEATHER, *LAND_COVER, *RARE)
"""The order of every label vector in this project. A bundle stores it and is read by it."""

_INDEX = {label: index for index, label in enumerate(LABELS)}


class UnknownTag(PlanetsError):
    """A tag that is none of the 17 labels."""


def encode(tags: Iterable[str]) -> NDArray[np.uint8]:
    """Turn tags, in any order, repeated or not, into a 0/1 vector of shape `(17,)` in `LABELS` order.

    Raises:
        UnknownTag: a tag that is none of the 17 labels.
    """
    vector = np.zeros(len(LABELS), dtype=np.uint8)
    for tag in tags:
        if tag not in _INDEX:
            raise UnknownTag(f"unknown tag {tag!r}; the labels are: {', '.join(LABELS)}")
        vector[_INDEX[tag]] = 1
    return vector


def decode(vector: ArrayLike, labels: Sequence[str] = LABELS) -> list[str]:
    """Turn a 0/1 vector of shape `(len(labels),)` into its tags, in the order of `labels`."""
    values = np.asarray(vector)
    if values.shape != (len(labels),):
        raise ValueError(f"a vector of shape ({len(labels)},) is needed, not {values.shape}")
    return [label for label, value in zip(labels, values, strict=True) if value]


def parse(text: str) -> frozenset[str]:
    """Split the `tags` cell of a table at white space: whole words, `cloudy` is not in `partly_cloudy`."""
    return frozenset(text.split())
