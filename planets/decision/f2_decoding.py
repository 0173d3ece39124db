"""Expected-F2 decoding: the label set with the greatest expected F2, given the label probabilities.

With `k` labels predicted, F2 = 5 tp / (4 true + k) is a sum over the predicted labels, and so is its
expectation: label `i` contributes p_i E[5 / (4 (1 + others) + k)], where `others` counts the other true
labels. The likelier of two labels contributes more (Ye et al., Optimizing F-measures, 2012, theorem 4), so
the best set is the `k` likeliest labels for some `k`; all `k` are tried. Exact for independent labels, in
O(L^3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROWS = 2048
"""Chips per block: bounds the memory to 5 MB per array with 17 labels."""


def best_sets(probabilities: ArrayLike) -> NDArray[np.uint8]:
    """Return the prediction of each chip with the greatest expected F2, of at least one label.

    Args:
        probabilities: shape `(N, L)`, 0 to 1; the labels are assumed independent.

    Returns:
        0/1, uint8 of shape `(N, L)`. Ties go to the first of equally likely labels and the smallest of
        equally good sets.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    blocks = [_best(given[start : start + _ROWS]) for start in range(0, len(given), _ROWS)]
    return np.concatenate(blocks) if blocks else np.zeros(given.shape, dtype=np.uint8)


def expected_f2(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the expected F2 of the `k` likeliest labels, float64 `(N, L)`, column `k - 1` for `k`."""
    given = -np.sort(-np.asarray(probabilities, dtype=np.float64), axis=1)
    labels = given.shape[1]
    count = np.arange(1, labels + 1)
    gain = 5.0 / (4.0 * count[:, None] + count[None, :])  # per hit, by number of true labels and k
    contributions = given[:, :, None] * (_others(given) @ gain)  # (N, label, k)
    totals: NDArray[np.float64] = contributions.cumsum(axis=1)[:, count - 1, count - 1]
    return totals


def _best(given: NDArray[np.float64]) -> NDArray[np.uint8]:
    order = np.argsort(-given, axis=1, kind="stable")
    size = expected_f2(given).argmax(axis=1) + 1
    chosen = np.arange(given.shape[1]) < size[:, None]
    predictions = np.zeros(given.shape, dtype=np.uint8)
    np.put_along_axis(predictions, order, chosen.astype(np.uint8), axis=1)
    return predictions


def _others(given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, per label, the probabilities of 0 to L - 1 true labels among the others, `(N, label,
    count)`."""
    rows, labels = given.shape
    chances = np.zeros((rows, labels, labels))
    chances[:, :, 0] = 1
    for other in range(labels):
        present = np.broadcast_to(given[:, other, None, None], (rows, labels, 1)).copy()
        present[:, other] = 0  # a label is not among its own others
        updated = chances * (1 - present)
        updated[:, :, 1:] += chances[:, :, :-1] * present
        chances = updated
    return chances
