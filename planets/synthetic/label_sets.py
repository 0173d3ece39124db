"""Label sets of the real dataset with their frequencies, and samples of them."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planets.labels import parse_tags
from planets.synthetic.labels import PLANETS

FREQUENCIES = Path(__file__).with_name("label_sets.csv")
"""The 411 sets among the 40,479 rows of the Kaggle dataset nikitarom/planets-dataset, with their counts."""

Tags = frozenset[str]


@dataclass(frozen=True)
class Frequencies:
    """Label sets, and the number of real rows with exactly this set: `counts[i]` for `sets[i]`."""

    sets: tuple[Tags, ...]
    counts: NDArray[np.int64]


@cache
def frequencies() -> Frequencies:
    """Read the table of label sets, sorted so that sets with the same rare labels are neighbors."""
    with FREQUENCIES.open(encoding="utf-8", newline="") as file:
        rows = [(parse_tags(row["tags"]), int(row["count"])) for row in csv.DictReader(file)]
    rows.sort(key=lambda row: PLANETS.to_vector(row[0])[::-1].tolist())
    return Frequencies(tuple(tags for tags, _ in rows), np.array([count for _, count in rows]))


def draw_label_sets(number: int, rng: np.random.Generator) -> list[Tags]:
    """Draw `number` label sets by systematic sampling, in random order.

    From a random start, equal steps through the cumulative counts: each set, and each rare label, occurs as
    often as expected, rounded down or up. Even a small sample is as close to the real table as possible.
    """
    real = frequencies()
    total = int(real.counts.sum())
    marks = (np.arange(number) + rng.random()) * (total / max(number, 1))
    drawn = np.searchsorted(np.cumsum(real.counts), marks, side="right")
    return [real.sets[index] for index in rng.permutation(drawn)]
