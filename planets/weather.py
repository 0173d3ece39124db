"""The rule of the weather: exactly one kind is true of a chip, and `cloudy` goes with nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planets.labels import WEATHER


def one_weather(
    predictions: NDArray[np.uint8], probabilities: NDArray[np.float32], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Return the predictions with the likeliest weather alone, and with it alone where that is `cloudy`.

    Args:
        predictions: 0/1 of shape `(N, L)`; left as they are.
        probabilities: of shape `(N, L)`.
        labels: the L labels, with all of `WEATHER` among them; else ValueError.
    """
    columns = np.array([list(labels).index(label) for label in WEATHER])
    likeliest = columns[probabilities[:, columns].argmax(axis=1)]
    made = predictions.copy()
    made[:, columns] = 0
    made[likeliest == list(labels).index("cloudy")] = 0
    made[np.arange(len(made)), likeliest] = 1
    return made
