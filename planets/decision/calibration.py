"""Scores made probabilities: per label, a line through the log-odds (Platt scaling)."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

_EDGE = 1e-6
"""Scores nearer to 0 or 1 are taken for this: their log-odds would be infinite."""

_RIDGE = 30.0
"""Weight of the belief that the scores are right as they are: with a few hundred chips the lines hardly move,
with thousands they are free. On the sample 30 to 100 lost least, 1 and isotonic regression lost most."""

_FLATTEST = 0.1
"""Least slope: a higher score must stay a higher probability."""

_STEPS = 40


class Calibration(BaseModel):
    """Platt scaling of each label: sigmoid(slope * log-odds + intercept)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    slopes: tuple[Annotated[float, Field(gt=0)], ...]
    intercepts: tuple[float, ...]

    @model_validator(mode="after")
    def _one_pair_per_label(self) -> Self:
        if len(self.slopes) != len(self.intercepts):
            raise ValueError(f"{len(self.slopes)} slopes need as many intercepts")
        return self

    @classmethod
    def fit(cls, targets: ArrayLike, scores: ArrayLike) -> Self:
        """Find the line of each label that makes the targets likeliest.

        Newton's method on the penalised log-likelihood, all labels at once. Intercept and slope are drawn a
        little towards 0 and 1, so a label that no chip carries stays nearly as it is.

        Args:
            targets: 0/1 of shape `(N, L)`.
            scores: of shape `(N, L)`, 0 to 1.
        """
        true, odds = np.asarray(targets, dtype=np.float64), _log_odds(scores)
        slope, intercept = np.ones(odds.shape[1]), np.zeros(odds.shape[1])
        for _ in range(_STEPS):
            chance = _sigmoid(slope * odds + intercept)
            wrong, weight = chance - true, chance * (1 - chance)
            down = (wrong * odds).sum(0) + _RIDGE * (slope - 1), wrong.sum(0) + _RIDGE * intercept
            bend = (weight * odds**2).sum(0) + _RIDGE, (weight * odds).sum(0), weight.sum(0) + _RIDGE
            whole = bend[0] * bend[2] - bend[1] ** 2
            step = (
                (bend[2] * down[0] - bend[1] * down[1]) / whole,
                (bend[0] * down[1] - bend[1] * down[0]) / whole,
            )
            # Newton's steps overshoot far from the end; shorter ones get there as well.
            short = np.minimum(1, 1 / np.maximum(np.abs(step[0]), np.abs(step[1])).clip(1e-12))
            slope, intercept = slope - short * step[0], intercept - short * step[1]
        return cls(slopes=tuple(slope.clip(_FLATTEST).tolist()), intercepts=tuple(intercept.tolist()))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float32]:
        """Return the probabilities of scores `(N, L)`, float32 of the same shape, in the same order."""
        odds = np.asarray(self.slopes) * _log_odds(scores) + np.asarray(self.intercepts)
        return _sigmoid(odds).astype(np.float32)


def log_loss(targets: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over the labels of each chip's -log(probability of what is true), shape `(N,)`."""
    true = np.asarray(targets, dtype=np.float64)
    given = np.asarray(probabilities, dtype=np.float64).clip(_EDGE, 1 - _EDGE)
    loss: NDArray[np.float64] = -(true * np.log(given) + (1 - true) * np.log1p(-given)).mean(1)
    return loss


def _log_odds(scores: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(scores, dtype=np.float64).clip(_EDGE, 1 - _EDGE)
    odds: NDArray[np.float64] = np.log(given) - np.log1p(-given)
    return odds


def _sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return chance
