"""Evaluation of one network, or of an ensemble: a decision fitted on validation, test scored once.

The scores stay unbiased because everything that is chosen or fitted (ensemble weights, refinements,
thresholds) comes from one procedure, `_fit`. For the validation score the procedure sees one
half of validation and predicts the other, so its choices are paid for as well. The choice of the epoch is
not: the training made it on all of validation. For test, and for the bundle,
it sees all of validation and never a label of test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from planets.config.project import EvaluationSettings
from planets.decision.decision import Decision, mix
from planets.evaluation import EvaluationError
from planets.evaluation.refinements import Mask, Trial, choose_refinements, cross_fit, fit_decision, half_mask
from planets.evaluation.scores import ModelScores, SplitScores
from planets.labels import Group, to_tags
from planets.metrics.f2 import best_constant, f2_per_sample, log_loss, summary

_DRAWS = 20
"""Draws of the ensemble selection: few enough not to fit noise."""


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Predictions for one split: `(N, L)` each, columns in the order of the labels.

    Attributes:
        rows: int64 of shape `(N,)`, positions of the chips in the store.
        targets: uint8, 0 or 1.
        scores: float32, 0 to 1: weighted mean of the networks' scores.
        predictions: uint8, 0 or 1.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.uint8]
    scores: NDArray[np.float32]
    predictions: NDArray[np.uint8]

    @property
    def f2(self) -> NDArray[np.float64]:
        """F2 of each chip, float64 of shape `(N,)`."""
        return f2_per_sample(self.targets, self.predictions)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        decision: fitted on all of validation.
        members: positions of the networks that the decision uses.
        trials: effects of the refinements, tried on all of validation.
        valid: predictions by decisions fitted on the other half of validation, so that its F2 is out of
            sample.
        test: predictions by `decision`.
        report: for JSON: `valid` and `test` (see `metrics.f2.summary`), `refinements` (see `Trial`),
            `decision` in short, and `constant`, the best prediction that looks at no chip, fitted on
            validation: its `tags` and its F2 on test.
    """

    decision: Decision
    members: tuple[int, ...]
    trials: tuple[Trial, ...]
    valid: SplitPredictions
    test: SplitPredictions
    report: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the columns, in their order."""
        return self.decision.labels

    @property
    def scores(self) -> dict[str, float]:
        """F2 and mAP of validation and test."""
        splits = (("valid", self.report["valid"]), ("test", self.report["test"]))
        return {f"{split}_{name}": report[name] for split, report in splits for name in ("f2", "map")}

    def per_chip(self) -> dict[str, NDArray[Any]]:
        """Return F2 and row of each chip of each split, for an npz file: the basis of paired comparisons."""
        arrays: dict[str, NDArray[Any]] = {}
        for split, predictions in (("valid", self.valid), ("test", self.test)):
            arrays |= {f"{split}_rows": predictions.rows, f"{split}_f2": predictions.f2}
        return arrays


class _Fit(NamedTuple):
    decision: Decision
    members: tuple[int, ...]
    trials: tuple[Trial, ...]


def evaluate(
    models: Sequence[ModelScores],
    settings: EvaluationSettings,
    groups: tuple[Group, ...] = (),
    seed: int = 0,
) -> Evaluation:
    """Evaluate one network, or an ensemble of several, by its scores on validation and test.

    Args:
        models: scores of each network, on the same chips.
        settings: refinements to try.
        groups: labels that exclude each other.
        seed: seed of the halves of validation, of the bootstrap and of the comparisons.

    Raises:
        EvaluationError: the networks were scored on different chips, or their labels differ in order.
    """
    _require_same_chips(models)
    labels = models[0].labels
    on_valid, on_test = [model.valid for model in models], [model.test for model in models]
    fit = _fit(on_valid, labels, groups, settings, seed)

    def fit_predict(fit_on: Mask, predict_for: Mask) -> tuple[NDArray[Any], ...]:
        half_fit = _fit([scores.subset(fit_on) for scores in on_valid], labels, groups, settings, seed)
        return _predict(half_fit, [scores.subset(predict_for) for scores in on_valid])

    half = half_mask(on_valid[0].targets, seed)
    valid = SplitPredictions(on_valid[0].rows, on_valid[0].targets, *cross_fit(half, fit_predict))
    test = SplitPredictions(on_test[0].rows, on_test[0].targets, *_predict(fit, on_test))
    return Evaluation(*fit, valid, test, _report(valid, test, fit, seed))


def ensemble_weights(targets: NDArray[np.uint8], scores: Sequence[NDArray[np.float32]]) -> tuple[float, ...]:
    """Return the weight of each network in the mean, 0 or more, summing to 1; (1.0,) for one network.

    Greedy forward selection with replacement (Caruana et al., Ensemble selection from libraries of models,
    2004): networks are drawn one after the other, each time the one that most improves the mean of all drawn;
    its share of the draws is its weight. A bad network is never drawn.

    The criterion is the log loss: it uses every probability and needs no threshold. On the sample, F2 and mAP
    as the criterion gained nothing at a hundred times the cost; the plain mean lost to the best single
    network.

    Args:
        targets: 0/1 of shape `(N, L)`.
        scores: scores of each network, `(N, L)`, 0 to 1.
    """
    draws = np.zeros(len(scores))
    total = np.zeros(targets.shape)
    for count in range(1, _DRAWS + 1 if len(scores) > 1 else 2):
        losses = [log_loss(targets, (total + candidate) / count).mean() for candidate in scores]
        best = int(np.argmin(losses))
        draws[best] += 1
        total += scores[best]
    return tuple((draws / draws.sum()).tolist())


def _fit(
    splits: Sequence[SplitScores],
    labels: tuple[str, ...],
    groups: tuple[Group, ...],
    settings: EvaluationSettings,
    seed: int,
) -> _Fit:
    """Choose and fit everything on these chips alone."""
    tta = settings.tta != "never" and all(scores.augmented is not None for scores in splits)
    tried = settings if tta else settings.model_copy(update={"tta": "never"})
    weights = ensemble_weights(splits[0].targets, [scores.select(tta) for scores in splits])
    members = tuple(index for index, weight in enumerate(weights) if weight)
    weights = tuple(weights[index] for index in members)
    selected = [splits[index] for index in members]
    mean = SplitScores(
        rows=splits[0].rows,
        targets=splits[0].targets,
        plain=mix([scores.plain for scores in selected], weights),
        augmented=mix([scores.select(True) for scores in selected], weights) if tta else None,
    )
    refinements, trials = choose_refinements(mean, labels, groups, tried, seed)
    decision = fit_decision(refinements, mean, labels, groups).model_copy(update={"shares": weights})
    return _Fit(decision, members, trials)


def _predict(fit: _Fit, splits: Sequence[SplitScores]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the scores and predictions of `SplitPredictions`."""
    decision = fit.decision
    scores = decision.probabilities([splits[index].select(decision.tta) for index in fit.members])
    return scores, decision.predict(scores)


def _report(valid: SplitPredictions, test: SplitPredictions, fit: _Fit, seed: int) -> dict[str, Any]:
    decision = fit.decision
    constant, constant_f2 = best_constant(valid.targets, test.targets)
    splits = {
        split: summary(
            predicted.targets,
            predicted.scores,
            predicted.predictions,
            decision.thresholds,
            decision.labels,
            seed,
        )
        | {"log_loss": float(log_loss(predicted.targets, predicted.scores).mean())}
        for split, predicted in (("valid", valid), ("test", test))
    }
    return {
        **splits,
        "refinements": [trial.document() for trial in fit.trials],
        "decision": {
            "tta": decision.tta,
            "weather_rule": bool(decision.groups),
        },
        "constant": {"tags": to_tags(constant, decision.labels), "f2": constant_f2},
    }


def _require_same_chips(models: Sequence[ModelScores]) -> None:
    first = models[0]
    for model in models[1:]:
        pairs = ((model.valid, first.valid), (model.test, first.test))
        if model.labels != first.labels or not all(np.array_equal(a.rows, b.rows) for a, b in pairs):
            raise EvaluationError(
                "the networks were scored on different chips or labels; evaluate them in one run"
            )
