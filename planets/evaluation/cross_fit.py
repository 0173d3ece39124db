"""The division of chips into two like halves: what is fitted on one is scored on the other."""

from __future__ import annotations

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification
from numpy.typing import ArrayLike, NDArray


def halves(targets: ArrayLike, seed: int) -> NDArray[np.bool_]:
    """Return which rows are in the first half, bool of shape `(N,)`; both have each label about as often.

    Args:
        targets: 0/1 of shape `(N, L)`.
        seed: of the division.

    Raises:
        ValueError: there are fewer than two rows.
    """
    true = np.asarray(targets).astype(np.bool_)
    if len(true) < 2:
        raise ValueError("two rows at least are needed to fit on one half and predict the other")
    random = np.random.RandomState(seed)
    order = random.permutation(len(true))
    half = np.empty(len(true), dtype=np.bool_)
    half[order] = IterativeStratification(true[order], np.array([0.5, 0.5]), random) == 1
    if half.all() or not half.any():
        half[order[0]] = not half[order[0]]
    return half
