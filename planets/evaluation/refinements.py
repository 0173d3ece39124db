"""What may improve predictions beyond thresholds, each kept only if it helps on chips it was not fitted on.

- `tta`: a score is the mean over the 8 turns of a chip. Judged by F2.
- `calibration`: Platt scaling of each label. It moves no thresholded prediction, as the thresholds move
  along: it is judged by the log loss, which is what decoding and the readers of probabilities live on.
- `decoding`: the set of greatest expected F2 in place of thresholds. Judged by F2.
- `weather_rule`: exactly one weather, cloudy alone. Judged by F2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from planets.config.evaluation import EvaluationSettings
from planets.decision.calibration import Calibration, log_loss
from planets.decision.decision import Decision
from planets.decision.thresholds import fit_thresholds
from planets.evaluation.cross_fit import halves
from planets.evaluation.scores import PartScores
from planets.metrics.f2 import f2_per_sample, mean_average_precision
from planets.metrics.significance import Comparison, compare

_FEWEST = 20
"""On fewer chips nothing can be shown, and `auto` keeps nothing."""


class Refinements(NamedTuple):
    """Which of them are on; in this order they are tried."""

    tta: bool = False
    calibration: bool = False
    decoding: bool = False
    weather_rule: bool = False


class Trial(NamedTuple):
    """What came of trying one refinement, on predictions for chips that they were not fitted on.

    Attributes:
        name: of the refinement.
        setting: `auto` or `always`.
        kept: whether it is part of the decision.
        judged_by: `f2` or `log_loss`.
        gain: what it brings by that measure; more is better.
        f2: without it and with it.
        map: likewise.
    """

    name: str
    setting: str
    kept: bool
    judged_by: str
    gain: Comparison
    f2: tuple[float, float]
    map: tuple[float, float]

    def document(self) -> dict[str, Any]:
        """Return the trial for JSON."""
        return self._asdict() | {"gain": self.gain._asdict()}

    def __str__(self) -> str:
        kept = "kept" if self.kept else "not kept"
        return f"{self.name}: {self.judged_by} {self.gain}; {kept} ({self.setting})"


class Guess(NamedTuple):
    """Probabilities float32 and predictions uint8, `(N, L)` each."""

    probabilities: NDArray[np.float32]
    predictions: NDArray[np.uint8]


def fit(on: Refinements, part: PartScores, labels: tuple[str, ...]) -> Decision:
    """Fit the decision on the scores of one network, or on the mean of several as if it were one."""
    scores = part.view(on.tta)
    calibration = Calibration.fit(part.targets, scores) if on.calibration else None
    probabilities = scores if calibration is None else calibration(scores)
    thresholds = None if on.decoding else tuple(fit_thresholds(part.targets, probabilities).tolist())
    return Decision(
        labels=labels,
        shares=(1.0,),
        tta=on.tta,
        calibration=calibration,
        thresholds=thresholds,
        weather_rule=on.weather_rule,
    )


def choose(
    part: PartScores, labels: tuple[str, ...], settings: EvaluationSettings, seed: int
) -> tuple[Refinements, tuple[Trial, ...]]:
    """Choose the refinements, one after the other, by predictions that each half makes for the other.

    What is `always` is on from the start, what is `never` is not tried. One that is `auto` is kept if it is
    better than what was kept before with p < `significance.ALPHA`, a level fixed beforehand, so that chance
    seldom decides.

    Args:
        part: the chips to choose on; a score on these chips is not honest afterwards.
        labels: of the columns.
        settings: `auto`, `always` or `never` for each.
        seed: of the halves and of the comparisons.
    """
    asked = {name: getattr(settings, name) for name in Refinements._fields}
    on = Refinements(**{name: asked[name] == "always" for name in asked})
    if len(part.targets) < _FEWEST:
        return on, ()
    crossed = _crossed(part, labels, seed)
    trials = []
    for name, setting in asked.items():
        if setting == "never":
            continue
        without, with_it = on._replace(**{name: False}), on._replace(**{name: True})
        trial = _try(name, setting, part.targets, crossed(without), crossed(with_it), seed)
        on = with_it if trial.kept else without
        trials.append(trial)
    return on, tuple(trials)


def _crossed(part: PartScores, labels: tuple[str, ...], seed: int) -> Callable[[Refinements], Guess]:
    half = halves(part.targets, seed)

    @cache
    def crossed(on: Refinements) -> Guess:
        made = Guess(np.empty(part.plain.shape, np.float32), np.empty(part.plain.shape, np.uint8))
        for here in (half, ~half):
            decision = fit(on, part.at(~here), labels)
            made.probabilities[here] = decision.probabilities([part.view(on.tta)[here]])
            made.predictions[here] = decision.predict(made.probabilities[here])
        return made

    return crossed


def _try(
    name: str, setting: str, targets: NDArray[np.uint8], without: Guess, with_it: Guess, seed: int
) -> Trial:
    judged_by = "log_loss" if name == "calibration" else "f2"
    before, after = (_values(judged_by, targets, guess) for guess in (without, with_it))
    gain = compare(after, before, seed)
    f2_before, f2_after = (float(_values("f2", targets, guess).mean()) for guess in (without, with_it))
    map_before, map_after = (
        mean_average_precision(targets, guess.probabilities) for guess in (without, with_it)
    )
    kept = setting == "always" or gain.better
    return Trial(name, setting, kept, judged_by, gain, (f2_before, f2_after), (map_before, map_after))


def _values(judged_by: str, targets: NDArray[np.uint8], guess: Guess) -> NDArray[np.float64]:
    """Return a value for each chip, of which more is better."""
    if judged_by == "f2":
        return f2_per_sample(targets, guess.predictions)
    return -log_loss(targets, guess.probabilities)
