"""F2 per sample, the score of the dataset, and the other metrics of a report.

Scores are computed over a whole split: averaging over batches gives another number, and macro and micro F2
are other metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EDGE = 1e-6
"""Probabilities are clipped to this distance from 0 and 1, where the log loss is infinite."""

FIXED_CUT = 0.2
"""Fixed threshold for calibrated scores: predicting a label pays from a probability of about 1 in 5."""


def f2(tp: ArrayLike, true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """Return F-beta for beta = 2, 5 tp / (4 true + predicted); 0 where no label is true or predicted.

    Args:
        tp: number of true positives; all arguments broadcast.
        true: number of true labels.
        predicted: number of predicted labels.
    """
    denominator = 4.0 * np.asarray(true) + np.asarray(predicted)
    numerator, denominator = np.broadcast_arrays(5.0 * np.asarray(tp), denominator)
    score: NDArray[np.float64] = np.divide(
        numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0
    )
    return score


def f2_per_sample(targets: ArrayLike, predictions: ArrayLike) -> NDArray[np.float64]:
    """Return the F2 of each row, float64 of shape `(N,)` between 0 and 1.

    The mean equals scikit-learn's `fbeta_score(beta=2, average="samples", zero_division=0)`.

    Args:
        targets: 0/1 of shape `(N, L)`.
        predictions: 0/1 of shape `(N, L)`; scores must be compared with thresholds first.

    Raises:
        ValueError: the shapes differ, or a value is neither 0 nor 1.
    """
    true, predicted = _binary(targets, predictions)
    return f2((true & predicted).sum(1), true.sum(1), predicted.sum(1))


def f2_score(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Return the dataset's score: the mean of `f2_per_sample`."""
    return float(f2_per_sample(targets, predictions).mean())


def f2_interval(per_sample: ArrayLike, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the mean of `per_sample`, `(low, high)`.

    F2 takes few values, so drawing how often each occurs (a multinomial) draws rows with replacement.
    """
    values, counts = np.unique(np.asarray(per_sample, dtype=np.float64), return_counts=True)
    total = counts.sum()
    draws = np.random.default_rng(seed).multinomial(total, counts / total, size=resamples)
    low, high = np.percentile(draws @ values / total, [2.5, 97.5])
    return float(low), float(high)


def average_precision(targets: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return the average precision of each label, float64 of shape `(L,)`; NaN without positives."""
    # scikit-learn takes a second to import, and most users of this module only need F2.
    from sklearn.metrics import average_precision_score

    true, ranked = _binary(targets)[0], np.asarray(scores)
    pairs = zip(true.T, ranked.T, strict=True)
    return np.array([average_precision_score(*pair) if pair[0].any() else np.nan for pair in pairs])


def log_loss(targets: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the binary cross-entropy of each chip, averaged over the labels, float64 of shape `(N,)`."""
    true = np.asarray(targets, dtype=np.float64)
    clipped = np.asarray(probabilities, dtype=np.float64).clip(_EDGE, 1 - _EDGE)
    loss: NDArray[np.float64] = -(true * np.log(clipped) + (1 - true) * np.log1p(-clipped)).mean(1)
    return loss


def mean_average_precision(targets: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean of `average_precision` over the labels with positives; 0 if there are none."""
    per_label = average_precision(targets, scores)
    return 0.0 if np.isnan(per_label).all() else float(np.nanmean(per_label))


def best_constant(targets_fit: ArrayLike, targets_score: ArrayLike) -> tuple[NDArray[np.uint8], float]:
    """Find the best constant prediction on one split, and score it on another.

    Exact: with k labels predicted, each predicted label that a row carries adds 5 / (4 true + k) to its F2.
    So labels contribute independently, and the best k are those with the largest sums.

    Returns:
        The 0/1 prediction, uint8 of shape `(L,)`, and its F2 on `targets_score`.
    """
    true, other = _binary(targets_fit)[0], _binary(targets_score)[0]
    best, best_sum = np.zeros(true.shape[1], dtype=np.uint8), 0.0
    for k in range(1, true.shape[1] + 1):
        sums = (true * f2(1, true.sum(1, keepdims=True), k)).sum(0)
        chosen = np.argsort(-sums, kind="stable")[:k]
        if sums[chosen].sum() > best_sum:
            best_sum = sums[chosen].sum()
            best = np.isin(np.arange(true.shape[1]), chosen).astype(np.uint8)
    return best, f2_score(other, np.broadcast_to(best, other.shape))


def summary(
    targets: ArrayLike,
    scores: ArrayLike,
    predictions: ArrayLike,
    thresholds: ArrayLike,
    labels: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Return the scores of one split for a report, ready for JSON; fractions are 0 to 1.

    Args:
        targets: 0/1 of shape `(N, L)`.
        scores: probabilities of shape `(N, L)`.
        predictions: 0/1 of shape `(N, L)`; may differ from `scores >= thresholds` if cross-fitted.
        thresholds: shape `(L,)`, listed with the labels.
        labels: the L labels, in the order of the columns.
        seed: seed of the bootstrap.

    Returns:
        `chips`, `f2` (per sample) and `f2_interval` (95 %), `f2_macro`, `f2_micro`, `map`, `labels_per_chip`
        (predicted), and `per_label`: for each label `precision`, `recall`, `f2`, `ap` (None without support),
        `support`, `predicted` and `threshold`.
    """
    true, predicted = _binary(targets, predictions)
    per_sample = f2_per_sample(true, predicted)
    counts = (true & predicted).sum(0), true.sum(0), predicted.sum(0)
    return {
        "chips": len(true),
        "f2": float(per_sample.mean()),
        "f2_interval": list(f2_interval(per_sample, seed)),
        "f2_macro": float(f2(*counts).mean()),
        "f2_micro": float(f2(*(count.sum() for count in counts))),
        "map": mean_average_precision(true, scores),
        "labels_per_chip": float(predicted.sum(1).mean()),
        "per_label": _per_label(counts, average_precision(true, scores), thresholds, labels),
    }


def _per_label(
    counts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    precisions: NDArray[np.float64],
    thresholds: ArrayLike,
    labels: Sequence[str],
) -> dict[str, dict[str, float | int | None]]:
    cuts = np.asarray(thresholds).tolist()
    rows = zip(labels, *counts, precisions, cuts, strict=True)
    return {
        label: {
            "precision": float(tp / predicted) if predicted else 0.0,
            "recall": float(tp / true) if true else 0.0,
            "f2": float(f2(tp, true, predicted)),
            "ap": None if np.isnan(ap) else float(ap),
            "support": int(true),
            "predicted": int(predicted),
            "threshold": threshold,
        }
        for label, tp, true, predicted, ap, threshold in rows
    }


def _binary(*arrays: ArrayLike) -> list[NDArray[np.bool_]]:
    """Return boolean arrays of one shape `(N, L)`, N at least 1."""
    inputs = [np.asarray(array) for array in arrays]
    if any(array.shape != inputs[0].shape or array.ndim != 2 or not len(array) for array in inputs):
        shapes = ", ".join(str(array.shape) for array in inputs)
        raise ValueError(f"expected non-empty arrays of one shape (N, L), not {shapes}")
    for array in inputs:
        if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
            raise ValueError("expected 0 and 1; compare scores with thresholds first")
    return [array.astype(np.bool_) for array in inputs]
