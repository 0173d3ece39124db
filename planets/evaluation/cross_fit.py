"""Two-fold cross-fitting: what is fitted on one half of the chips predicts the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]
"""Selects rows, bool of shape `(N,)`."""

FitPredict = Callable[[Mask, Mask], tuple[NDArray[Any], ...]]
"""Fits on the rows of the first mask and returns arrays of predictions for those of the second."""


def half_mask(targets: ArrayLike, seed: int) -> Mask:
    """Return the mask of a random half in which each label occurs about as often as in the other half.

    Args:
        targets: 0/1 of shape `(N, L)`.
        seed: seed of the stratified split.

    Raises:
        ValueError: there are fewer than two rows.
    """
    true = np.asarray(targets).astype(np.bool_)
    if len(true) < 2:
        raise ValueError(f"cross-fitting needs at least two rows, not {len(true)}")
    random = np.random.RandomState(seed)
    order = random.permutation(len(true))
    half = np.empty(len(true), dtype=np.bool_)
    half[order] = IterativeStratification(true[order], np.array([0.5, 0.5]), random) == 1
    if half.all() or not half.any():
        half[order[0]] = not half[order[0]]
    return half


def cross_fit(half: Mask, fit_predict: FitPredict) -> tuple[NDArray[Any], ...]:
    """Return out-of-sample predictions for all rows: each half is predicted from the other."""
    merged = []
    for first, second in zip(fit_predict(~half, half), fit_predict(half, ~half), strict=True):
        whole = np.empty((len(half), *first.shape[1:]), first.dtype)
        whole[half], whole[~half] = first, second
        merged.append(whole)
    return tuple(merged)
