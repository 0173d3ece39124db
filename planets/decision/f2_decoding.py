"""The set of labels with the greatest expected F2, given how likely each label is.

With `k` labels predicted, F2 = 5 tp / (4 true + k) is a sum over the predicted labels, so its expectation is
one too: label `i` adds p_i E[5 / (4 (1 + others) + k)], where `others` counts the other true labels. Of two
labels the likelier one adds more (Ye et al., Optimizing F-measures, 2012, theorem 4), so the best set is the
`k` likeliest labels for some `k`, and all `k` are tried. Exact for independent labels, in O(L^3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROWS = 2048
"""Chips at a time: bounds the memory, 5 MB an array with 17 labels."""


def best_sets(probabilities: ArrayLike) -> NDArray[np.uint8]:
    """Return the prediction of each chip that has the greatest expected F2, and at least one label.

    Args:
        probabilities: of the labels, shape `(N, L)`, 0 to 1; taken for independent of each other.

    Returns:
        0/1, uint8 of shape `(N, L)`. Of equally likely labels the first is taken, of equally good sets the
        smallest.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    blocks = [_best(given[start : start + _ROWS]) for start in range(0, len(given), _ROWS)]
    return np.concatenate(blocks) if blocks else np.zeros(given.shape, dtype=np.uint8)


def expected_f2(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the expected F2 of the `k` likeliest labels, float64 `(N, L)`, column `k - 1` for `k`."""
    given = -np.sort(-np.asarray(probabilities, dtype=np.float64), axis=1)
    labels = given.shape[1]
    count = np.arange(1, labels + 1)
    worth = 5.0 / (4.0 * count[:, None] + count[None, :])  # of a hit, by true labels and by k
    adds = given[:, :, None] * (_others(given) @ worth)  # (N, label, k)
    totals: NDArray[np.float64] = adds.cumsum(axis=1)[:, count - 1, count - 1]
    return totals


def _best(given: NDArray[np.float64]) -> NDArray[np.uint8]:
    order = np.argsort(-given, axis=1, kind="stable")
    size = expected_f2(given).argmax(axis=1) + 1
    chosen = np.arange(given.shape[1]) < size[:, None]
    made = np.zeros(given.shape, dtype=np.uint8)
    np.put_along_axis(made, order, chosen.astype(np.uint8), axis=1)
    return made


def _others(given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each label, the chances of 0 to L - 1 true labels among the others: `(N, label, count)`."""
    rows, labels = given.shape
    chances = np.zeros((rows, labels, labels))
    chances[:, :, 0] = 1
    for other in range(labels):
        there = np.broadcast_to(given[:, other, None, None], (rows, labels, 1)).copy()
        there[:, other] = 0  # no label is among its own others
        gone = chances * (1 - there)
        gone[:, :, 1:] += chances[:, :, :-1] * there
        chances = gone
    return chances
