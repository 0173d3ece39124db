"""Platt scaling: per label, a line through the log-odds that turns scores into probabilities."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

_EDGE = 1e-6
"""Scores are clipped to this distance from 0 and 1, where log-odds are infinite."""

_RIDGE = 30.0
"""Weight of the prior that scores are calibrated already: with a few hundred chips the lines hardly move,
with thousands they are free. On the sample 30 to 100 lost least; 1 and isotonic regression lost most."""

_MIN_SLOPE = 0.1
"""Least slope: a higher score must stay a higher probability."""

_ITERATIONS = 40


class Calibration(BaseModel):
    """Platt scaling of each label: sigmoid(slope * log-odds + intercept)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    slopes: tuple[Annotated[float, Field(gt=0)], ...]
    intercepts: tuple[float, ...]

    @model_validator(mode="after")
    def _one_pair_per_label(self) -> Self:
        if len(self.slopes) != len(self.intercepts):
            raise ValueError(f"{len(self.slopes)} slopes need as many intercepts, not {len(self.intercepts)}")
        return self

    @classmethod
    def fit(cls, targets: ArrayLike, scores: ArrayLike) -> Self:
        """Fit the line of each label by penalised maximum likelihood, with a slope of at least 0.1.

        The penalty draws slope and intercept towards 1 and 0, so a label that no chip carries stays nearly as
        it is. Where the slope is at its bound, the intercept is the best one for that slope.

        Args:
            targets: 0/1 of shape `(N, L)`.
            scores: shape `(N, L)`, 0 to 1.
        """
        true, odds = np.asarray(targets, dtype=np.float64), _log_odds(scores)
        slopes, intercepts = _fit_lines(true, odds)
        bounded = slopes < _MIN_SLOPE
        slopes = slopes.clip(_MIN_SLOPE)
        # The objective is convex: its optimum under the bound has the slope at the bound.
        intercepts = np.where(bounded, _fit_intercepts(true, odds, slopes), intercepts)
        return cls(slopes=tuple(slopes.tolist()), intercepts=tuple(intercepts.tolist()))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float32]:
        """Return the probabilities of scores `(N, L)`, float32 of the same shape, in the same order."""
        odds = np.asarray(self.slopes) * _log_odds(scores) + np.asarray(self.intercepts)
        return _sigmoid(odds).astype(np.float32)


def log_loss(targets: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the binary cross-entropy of each chip, averaged over the labels, float64 of shape `(N,)`."""
    true = np.asarray(targets, dtype=np.float64)
    clipped = np.asarray(probabilities, dtype=np.float64).clip(_EDGE, 1 - _EDGE)
    loss: NDArray[np.float64] = -(true * np.log(clipped) + (1 - true) * np.log1p(-clipped)).mean(1)
    return loss


def _fit_lines(
    true: NDArray[np.float64], odds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slopes and intercepts `(L,)` by Newton's method, all labels at once."""
    slopes, intercepts = np.ones(odds.shape[1]), np.zeros(odds.shape[1])
    for _ in range(_ITERATIONS):
        chance = _sigmoid(slopes * odds + intercepts)
        error, weight = chance - true, chance * (1 - chance)
        gradient = (error * odds).sum(0) + _RIDGE * (slopes - 1), error.sum(0) + _RIDGE * intercepts
        hessian = (weight * odds**2).sum(0) + _RIDGE, (weight * odds).sum(0), weight.sum(0) + _RIDGE
        determinant = hessian[0] * hessian[2] - hessian[1] ** 2
        step = (
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
        )
        # Full steps overshoot far from the optimum; steps of length 1 converge as well.
        damping = np.minimum(1, 1 / np.maximum(np.abs(step[0]), np.abs(step[1])).clip(1e-12))
        slopes, intercepts = slopes - damping * step[0], intercepts - damping * step[1]
    return slopes, intercepts


def _fit_intercepts(
    true: NDArray[np.float64], odds: NDArray[np.float64], slopes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the intercepts `(L,)` of lines with given slopes, by Newton's method."""
    intercepts = np.zeros(odds.shape[1])
    for _ in range(_ITERATIONS):
        chance = _sigmoid(slopes * odds + intercepts)
        gradient = (chance - true).sum(0) + _RIDGE * intercepts
        curvature = (chance * (1 - chance)).sum(0) + _RIDGE
        intercepts -= (gradient / curvature).clip(-1, 1)
    return intercepts


def _log_odds(scores: ArrayLike) -> NDArray[np.float64]:
    clipped = np.asarray(scores, dtype=np.float64).clip(_EDGE, 1 - _EDGE)
    odds: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return odds


def _sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return chance
