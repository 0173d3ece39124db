"""Refinements of predictions beyond thresholds, each kept only if it helps on chips it was not fitted on.

Those are the chips of the other half: two-fold cross-fitting predicts each half from the other.

- `tta`: scores averaged over the 8 dihedral views of a chip.
- `weather_rule`: exactly one label of each group, if the label set has groups. It serves data with one label
  a chip; on the planets dataset it loses.

Calibration by Platt scaling and expected-F2 decoding are not here: on 4,564 real validation chips, neither
changed F2 by more than chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planets.archive.split import stratify
from planets.config.project import EvaluationSettings
from planets.decision.decision import Decision
from planets.decision.thresholds import fit_thresholds
from planets.evaluation.scores import SplitScores
from planets.labels import Group
from planets.metrics.f2 import f2_per_sample, mean_average_precision
from planets.metrics.significance import Comparison, compare

_MIN_CHIPS = 20
"""On fewer chips nothing can be shown, and `auto` keeps nothing."""


Mask = NDArray[np.bool_]
"""Selects rows, bool of shape `(N,)`."""

FitPredict = Callable[[Mask, Mask], tuple[NDArray[Any], ...]]
"""Fits on the rows of the first mask and returns arrays of predictions for those of the second."""


class Refinements(NamedTuple):
    """Switches of the refinements, in the order in which they are tried."""

    tta: bool = False
    weather_rule: bool = False


class Trial(NamedTuple):
    """Out-of-sample effect of one refinement.

    Attributes:
        name: the refinement.
        setting: `auto` or `always`.
        kept: True if it is part of the decision.
        gain: improvement of F2.
        f2: F2 without and with it.
        map: mean average precision without and with it.
    """

    name: str
    setting: str
    kept: bool
    gain: Comparison
    f2: tuple[float, float]
    map: tuple[float, float]

    def document(self) -> dict[str, Any]:
        """Return the trial for JSON."""
        return self._asdict() | {"gain": self.gain._asdict()}

    def __str__(self) -> str:
        kept = "kept" if self.kept else "not kept"
        return f"{self.name}: f2 {self.gain}; {kept} ({self.setting})"


class _Predicted(NamedTuple):
    """Probabilities float32 and predictions uint8, `(N, L)` each."""

    probabilities: NDArray[np.float32]
    predictions: NDArray[np.uint8]


def fit_decision(
    refinements: Refinements, scores: SplitScores, labels: tuple[str, ...], groups: tuple[Group, ...]
) -> Decision:
    """Fit the decision on the scores of one network, or on the averaged scores of several."""
    thresholds = fit_thresholds(scores.targets, scores.select(refinements.tta))
    return Decision(
        labels=labels,
        shares=(1.0,),
        tta=refinements.tta,
        thresholds=tuple(thresholds.tolist()),
        groups=groups if refinements.weather_rule else (),
    )


def choose_refinements(
    scores: SplitScores,
    labels: tuple[str, ...],
    groups: tuple[Group, ...],
    settings: EvaluationSettings,
    seed: int,
) -> tuple[Refinements, tuple[Trial, ...]]:
    """Choose the refinements one after the other, on cross-fitted predictions.

    `always` is on from the start, `never` is not tried. `auto` is kept if it improves on what was kept before
    with p < `significance.ALPHA`, a level fixed beforehand, so that chance seldom decides.

    Args:
        scores: the chips to choose on; their scores are biased afterwards.
        labels: labels of the columns.
        groups: labels that exclude each other; without any, `weather_rule` is not tried.
        settings: `auto`, `always` or `never` for each refinement.
        seed: seed of the halves and of the comparisons.
    """
    asked = {name: getattr(settings, name) for name in Refinements._fields}
    if not groups:
        asked["weather_rule"] = "never"
    chosen = Refinements(**{name: asked[name] == "always" for name in asked})
    if len(scores.targets) < _MIN_CHIPS:
        return chosen, ()
    predict = _cross_fitted(scores, labels, groups, seed)
    trials = []
    for name, setting in asked.items():
        if setting == "never":
            continue
        without, with_it = chosen._replace(**{name: False}), chosen._replace(**{name: True})
        trial = _try(name, setting, scores.targets, predict(without), predict(with_it), seed)
        chosen = with_it if trial.kept else without
        trials.append(trial)
    return chosen, tuple(trials)


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
    halves = np.array([0.5, 0.5])
    half: Mask = stratify(true, np.full(len(true), len(halves)), halves, seed) == 1
    return half


def cross_fit(half: Mask, fit_predict: FitPredict) -> tuple[NDArray[Any], ...]:
    """Return out-of-sample predictions for all rows: each half is predicted from the other."""
    merged = []
    for first, second in zip(fit_predict(~half, half), fit_predict(half, ~half), strict=True):
        whole = np.empty((len(half), *first.shape[1:]), first.dtype)
        whole[half], whole[~half] = first, second
        merged.append(whole)
    return tuple(merged)


def _cross_fitted(
    scores: SplitScores, labels: tuple[str, ...], groups: tuple[Group, ...], seed: int
) -> Callable[[Refinements], _Predicted]:
    half = half_mask(scores.targets, seed)

    @cache
    def predict(refinements: Refinements) -> _Predicted:
        def fit_predict(fit_on: Mask, predict_for: Mask) -> tuple[NDArray[Any], ...]:
            decision = fit_decision(refinements, scores.subset(fit_on), labels, groups)
            probabilities = decision.probabilities([scores.select(refinements.tta)[predict_for]])
            return probabilities, decision.predict(probabilities)

        return _Predicted(*cross_fit(half, fit_predict))

    return predict


def _try(
    name: str,
    setting: str,
    targets: NDArray[np.uint8],
    without: _Predicted,
    with_it: _Predicted,
    seed: int,
) -> Trial:
    pair = without, with_it
    f2_before, f2_after = (f2_per_sample(targets, outcome.predictions) for outcome in pair)
    map_before, map_after = (mean_average_precision(targets, outcome.probabilities) for outcome in pair)
    gain = compare(f2_after, f2_before, seed)
    return Trial(
        name=name,
        setting=setting,
        kept=setting == "always" or gain.better,
        gain=gain,
        f2=(float(f2_before.mean()), float(f2_after.mean())),
        map=(map_before, map_after),
    )
