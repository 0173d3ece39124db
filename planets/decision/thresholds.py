"""Per-label thresholds for the mean F2 per sample.

`best_thresholds` are those of the chips given. With the other labels' predictions fixed, a chip's F2 takes
one of two values, with the label on or off. Over chips sorted by descending score, the cumulative sum of
on-minus-off is the gain of every possible cut, so its maximum is the exact optimum for this label. Coordinate
ascent repeats this until no label improves.

`fit_thresholds` are for other chips. The best threshold of a label with few positives follows their noise, so
it may be shrunk towards one that all labels share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planets.metrics.f2 import f2, f2_per_sample, f2_score

_GAIN = 1e-9
"""Smallest improvement of the summed F2 that counts: above rounding, far below one chip."""

_PRIORS = (500, 50, 0)
"""Strengths of the shrinkage to choose from: positives that give a label's own threshold as much weight as
the common one. Networks whose probabilities are calibrated alike for all labels are best off with a strong
one, others with none."""

_FOLDS = 5

_COMMON = np.arange(1, 100) / 100
"""Candidates for the common threshold."""


def apply_thresholds(scores: ArrayLike, thresholds: ArrayLike) -> NDArray[np.uint8]:
    """Return the 0/1 predictions of scores `(N, L)`: 1 where a score reaches its label's threshold."""
    return (np.asarray(scores, dtype=np.float32) >= np.asarray(thresholds, dtype=np.float64)).astype(np.uint8)


def fit_thresholds(targets: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Fit thresholds that are good on other chips of the same kind.

    A label's threshold is the mean of its best one, weighted by the number of its positives, and of a common
    one, weighted by a prior that cross-validation chooses. On real chips, F2 of others was higher by 0.009
    than with the best thresholds of 128 chips, by 0.003 than with those of 512, by 0.0005 for 4,096
    (`benchmarks/thresholds.py`).

    Args:
        targets: 0/1 of shape `(N, L)`.
        scores: probabilities of shape `(N, L)`, 0 to 1.

    Returns:
        Thresholds, float64 of shape `(L,)`, 0 to 1. They are float32 numbers, so a round trip through float32
        or JSON changes no prediction.

    Raises:
        ValueError: shapes differ, no rows, or scores outside 0 to 1 (logits, NaN).
    """
    true, given = _checked(targets, scores)
    candidates = _shrunk(true, given)
    if len(true) < _FOLDS:
        return candidates[0]
    fold = np.random.default_rng(0).permutation(len(true)) % _FOLDS
    summed = np.zeros(len(_PRIORS))
    for here in (fold == index for index in range(_FOLDS)):
        for place, thresholds in enumerate(_shrunk(true[~here], given[~here])):
            summed[place] += f2_per_sample(true[here], apply_thresholds(given[here], thresholds)).sum()
    return candidates[int(summed.argmax())]


def _shrunk(true: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Return the thresholds for each of `_PRIORS`."""
    common = max(_COMMON.tolist(), key=lambda threshold: f2_score(true, scores >= threshold))
    own = _Search(true, scores).run(common).clip(max=1)
    positives = true.sum(0)
    means = ((positives * own + prior * common) / (positives + prior) if prior else own for prior in _PRIORS)
    return [mean.astype(np.float32).astype(np.float64) for mean in means]


def best_thresholds(targets: ArrayLike, scores: ArrayLike, start: float = 0.2) -> NDArray[np.float64]:
    """Return thresholds of which no single change improves F2 on these chips.

    Each lies midway between two neighboring scores and is a float32 number.

    Args:
        targets: 0/1 of shape `(N, L)`.
        scores: probabilities of shape `(N, L)`, 0 to 1.
        start: initial threshold of all labels; the result is at least as good as it.

    Returns:
        Thresholds, float64 of shape `(L,)`; one above the largest score predicts the label for no chip.

    Raises:
        ValueError: shapes differ, no rows, or scores outside 0 to 1 (logits, NaN).
    """
    return _Search(*_checked(targets, scores)).run(start)


class _Search:
    """Coordinate ascent over the thresholds of one set of chips."""

    def __init__(self, true: NDArray[np.bool_], scores: NDArray[np.float32]) -> None:
        self.true = true
        self.order = np.argsort(-scores, axis=0, kind="stable")
        self.ranked = np.take_along_axis(scores, self.order, axis=0)
        self.scores = scores

    def run(self, start: float) -> NDArray[np.float64]:
        """Improve from `start` until no label improves."""
        rows, labels = self.true.shape
        thresholds = np.full(labels, np.float64(np.float32(start)))
        on = self.scores >= thresholds
        unsettled = labels
        label = 0
        while unsettled:
            kept, best = int(on[:, label].sum()), self._best_cut(on, label)
            if best == kept:
                unsettled -= 1
            else:
                on[self.order[:, label], label] = np.arange(rows) < best
                unsettled = labels - 1
            thresholds[label] = self._midway(label, int(on[:, label].sum()))
            label = (label + 1) % labels
        return thresholds

    def _best_cut(self, on: NDArray[np.bool_], label: int) -> int:
        """Return the number of highest scores to give the label; the current number unless another gains."""
        mine, total = self.true[:, label], self.true.sum(1)
        right = (on & self.true).sum(1) - (on[:, label] & mine)
        others = on.sum(1) - on[:, label]
        gain = f2(right + mine, total, others + 1) - f2(right, total, others)
        sums = np.concatenate([[0.0], np.cumsum(gain[self.order[:, label]])])
        # Equal scores lie on one side of any threshold: no cut separates them.
        ranked = self.ranked[:, label]
        sums[1:-1][ranked[1:] == ranked[:-1]] = -np.inf
        best, kept = int(sums.argmax()), int(on[:, label].sum())
        return best if sums[best] > sums[kept] + _GAIN else kept

    def _midway(self, label: int, count: int) -> np.float64:
        """Return a float32 threshold reached by exactly the `count` highest scores, halfway to the next."""
        ranked = self.ranked[:, label]
        above = ranked[count - 1] if count else np.float32(max(1.0, np.nextafter(ranked[0], np.float32(2))))
        below = ranked[count] if count < len(ranked) else np.float32(0)
        middle = np.float32((np.float64(above) + np.float64(below)) / 2)
        # Adjacent float32 numbers have nothing between them; the upper one is the threshold.
        return np.float64(middle if middle > below or count == len(ranked) else above)


def _checked(targets: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    true, given = np.asarray(targets).astype(np.bool_), np.asarray(scores, dtype=np.float32)
    if true.shape != given.shape or true.ndim != 2 or not true.size:
        raise ValueError(f"targets {true.shape} and scores {given.shape} need one shape (N, L), not empty")
    if not ((given >= 0) & (given <= 1)).all():
        span = f"{given.min()} to {given.max()}"
        raise ValueError(f"scores must be probabilities, 0 to 1, not {span}; take the sigmoid first")
    return true, given
