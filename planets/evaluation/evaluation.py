"""The judgement of one network, or of several together: a decision from valid, F2 out of sample, test once.

How it stays honest: whatever is chosen or fitted (shares, refinements, calibration, thresholds) is chosen and
fitted by one procedure, `_decide`. For the valid score the procedure sees one half of valid and predicts the
other, in turn: choices are paid for there, too. For test, and for the bundle, it sees all of valid and never
a label of test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from planets.config.evaluation import EvaluationSettings
from planets.decision.calibration import log_loss
from planets.decision.decision import Decision, mix
from planets.evaluation import EvaluationError
from planets.evaluation.cross_fit import halves
from planets.evaluation.ensemble_weights import choose_shares
from planets.evaluation.refinements import Trial, choose, fit
from planets.evaluation.scores import ModelScores, PartScores
from planets.labels import to_tags
from planets.metrics.f2 import best_constant, f2_per_sample, summary


@dataclass(frozen=True, eq=False)
class Judged:
    """One part of the chips: `(N, L)` each, columns in the order of the labels.

    Attributes:
        rows: int64 of shape `(N,)`, where the chips are in the store.
        targets: uint8, 0 or 1.
        scores: float32, 0 to 1: mean of the networks' scores.
        probabilities: float32, 0 to 1: the scores, calibrated if the decision does so.
        predictions: uint8, 0 or 1.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.uint8]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predictions: NDArray[np.uint8]

    @property
    def f2(self) -> NDArray[np.float64]:
        """The F2 of each chip, float64 of shape `(N,)`."""
        return f2_per_sample(self.targets, self.predictions)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation finds.

    Attributes:
        decision: fitted on all of valid.
        members: which of the networks the decision uses, by their positions.
        trials: what came of the refinements that were tried on all of valid.
        valid: predicted by decisions made on its other half, so that its F2 is out of sample.
        test: predicted by `decision`.
        report: for JSON: `valid` and `test` (see `metrics.summary`), `refinements` (see `Trial`), `decision`
            in short, and `constant`, the best prediction that looks at no chip, fitted on valid: `tags` and
            its F2 on `test`.
    """

    decision: Decision
    members: tuple[int, ...]
    trials: tuple[Trial, ...]
    valid: Judged
    test: Judged
    report: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The order of all columns."""
        return self.decision.labels

    @property
    def scores(self) -> dict[str, float]:
        """The report in short."""
        parts = (("valid", self.report["valid"]), ("test", self.report["test"]))
        return {f"{part}_{name}": report[name] for part, report in parts for name in ("f2", "map")}

    def per_chip(self) -> dict[str, NDArray[Any]]:
        """Return F2 and row of each chip of each part, for an npz file: models are compared by them."""
        found: dict[str, NDArray[Any]] = {}
        for part, judged in (("valid", self.valid), ("test", self.test)):
            found |= {f"{part}_rows": judged.rows, f"{part}_f2": judged.f2}
        return found


class _Made(NamedTuple):
    decision: Decision
    members: tuple[int, ...]
    trials: tuple[Trial, ...]


def evaluate(models: Sequence[ModelScores], settings: EvaluationSettings, seed: int = 0) -> Evaluation:
    """Judge one network, or an ensemble of several, by its scores on valid and test.

    Args:
        models: the scores of each network, of the same chips.
        settings: which refinements are tried.
        seed: of the halves of valid, of the bootstrap and of the comparisons.

    Raises:
        EvaluationError: the networks were scored on other chips, or for labels in another order.
    """
    _require_same(models)
    labels = models[0].labels
    on_valid, on_test = [model.valid for model in models], [model.test for model in models]
    made = _decide(on_valid, labels, settings, seed)
    half = halves(on_valid[0].targets, seed)
    sides = []
    for here in (half, ~half):
        other = _decide([part.at(~here) for part in on_valid], labels, settings, seed)
        sides.append((here, _judge([part.at(here) for part in on_valid], other)))
    valid, test = _joined(sides), _judge(on_test, made)
    return Evaluation(*made, valid, test, _report(valid, test, made, seed))


def _decide(
    parts: Sequence[PartScores], labels: tuple[str, ...], settings: EvaluationSettings, seed: int
) -> _Made:
    """Choose and fit all that there is to choose and to fit, on these chips alone."""
    turned = settings.tta != "never" and all(part.turned is not None for part in parts)
    tried = settings if turned else settings.model_copy(update={"tta": "never"})
    shares = choose_shares(parts[0].targets, [part.view(turned) for part in parts])
    members = tuple(place for place, share in enumerate(shares) if share)
    shares = tuple(shares[place] for place in members)
    chosen = [parts[place] for place in members]
    mixed = PartScores(
        rows=parts[0].rows,
        targets=parts[0].targets,
        plain=mix([part.plain for part in chosen], shares),
        turned=mix([part.view(True) for part in chosen], shares) if turned else None,
    )
    on, trials = choose(mixed, labels, tried, seed)
    return _Made(fit(on, mixed, labels).model_copy(update={"shares": shares}), members, trials)


def _judge(parts: Sequence[PartScores], made: _Made) -> Judged:
    decision = made.decision
    scores = [parts[place].view(decision.tta) for place in made.members]
    probabilities = decision.probabilities(scores)
    return Judged(
        rows=parts[0].rows,
        targets=parts[0].targets,
        scores=mix(scores, decision.shares),
        probabilities=probabilities,
        predictions=decision.predict(probabilities),
    )


def _joined(sides: Sequence[tuple[NDArray[np.bool_], Judged]]) -> Judged:
    """Put the two halves together again, each row where it was."""
    made = {}
    for name in Judged.__dataclass_fields__:
        arrays = [(here, getattr(judged, name)) for here, judged in sides]
        whole = np.empty((len(arrays[0][0]), *arrays[0][1].shape[1:]), arrays[0][1].dtype)
        for here, array in arrays:
            whole[here] = array
        made[name] = whole
    return Judged(**made)


def _report(valid: Judged, test: Judged, made: _Made, seed: int) -> dict[str, Any]:
    decision = made.decision
    constant, constant_f2 = best_constant(valid.targets, test.targets)
    parts = {
        part: summary(
            judged.targets, judged.scores, judged.predictions, decision.thresholds, decision.labels, seed
        )
        | {"log_loss": float(log_loss(judged.targets, judged.probabilities).mean())}
        for part, judged in (("valid", valid), ("test", test))
    }
    return {
        **parts,
        "refinements": [trial.document() for trial in made.trials],
        "decision": {
            "tta": decision.tta,
            "calibration": decision.calibration is not None,
            "decoding": decision.thresholds is None,
            "weather_rule": decision.weather_rule,
        },
        "constant": {"tags": to_tags(constant, decision.labels), "f2": constant_f2},
    }


def _require_same(models: Sequence[ModelScores]) -> None:
    first = models[0]
    for model in models[1:]:
        pairs = ((model.valid, first.valid), (model.test, first.test))
        if model.labels != first.labels or not all(np.array_equal(a.rows, b.rows) for a, b in pairs):
            raise EvaluationError(
                "the networks were scored on different chips or labels; evaluate them in one run"
            )
