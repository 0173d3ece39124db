import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.synthetic import make_labels, make_parts, make_store

from planets.config.project import EvaluationSettings
from planets.decision.thresholds import fit_thresholds
from planets.evaluation import EvaluationError
from planets.evaluation.evaluation import ensemble_weights, evaluate
from planets.evaluation.inference import score_model
from planets.evaluation.refinements import half_mask
from planets.evaluation.scores import ModelScores, SplitScores
from planets.metrics.f2 import f2_score, log_loss
from planets.synthetic.labels import LABELS, PLANETS
from planets.training import TrainingError
from planets.training.model import create, head_keys
from planets.training.trained_model import TrainedModel

COUNT = 100
MANY, NOISE = make_labels(300), np.random.default_rng(1)
TARGETS, PARTS = make_labels(COUNT), make_parts(COUNT)


@pytest.fixture
def fitted() -> TrainedModel:
    torch.manual_seed(0)
    return TrainedModel(
        weights=create("test_resnet", 17).state_dict(),
        architecture="test_resnet",
        labels=LABELS,
        image_size=32,
        mean=(0.3, 0.35, 0.4),
        std=(0.1, 0.15, 0.2),
        metric="map",
        score=0.5,
        best_epoch=1,
        history=[],
    )


def reordered(fitted: TrainedModel, order: list[int]) -> TrainedModel:
    """Return the same model with its outputs, and so its labels, in another order."""
    head = head_keys(create("test_resnet", 17))
    weights = {key: value[order] if key in head else value for key, value in fitted.weights.items()}
    return replace(fitted, weights=weights, labels=tuple(LABELS[i] for i in order))


def scored(fitted: TrainedModel, labels: NDArray[np.uint8] = TARGETS, tta: bool = True) -> ModelScores:
    return score_model(fitted, make_store(TARGETS), labels, LABELS, PARTS, tta)


def test_scoring_prints_its_progress(fitted: TrainedModel) -> None:
    lines: list[str] = []
    score_model(fitted, make_store(TARGETS), TARGETS, LABELS, PARTS, False, lines.append)
    assert [line.partition(",")[0] for line in lines] == [
        f"scoring {part}: {count} of {count} chips (100 %)"
        for part in ("valid", "test")
        for count in [int((part == PARTS).sum())]
    ]


def settings(everything: str) -> EvaluationSettings:
    return EvaluationSettings.model_validate(
        {"tta": everything, "weather_rule": everything, "ensemble": True}
    )


def test_valid_is_scored_out_of_sample_and_test_with_thresholds_of_valid(fitted: TrainedModel) -> None:
    found = evaluate([scored(fitted)], settings("never"), PLANETS.groups, seed=3)
    valid, test = found.valid, found.test
    np.testing.assert_array_equal(valid.rows, np.flatnonzero(PARTS == "valid"))
    np.testing.assert_array_equal(test.targets, TARGETS[PARTS == "test"])
    np.testing.assert_array_equal(found.decision.thresholds, fit_thresholds(valid.targets, valid.scores))
    half = half_mask(valid.targets, 3)
    for here in (half, ~half):
        thresholds = fit_thresholds(valid.targets[~here], valid.scores[~here])
        np.testing.assert_array_equal(valid.predictions[here], valid.scores[here] >= thresholds)
    np.testing.assert_array_equal(test.predictions, test.scores >= np.array(found.decision.thresholds))
    assert found.report["valid"]["f2"] == f2_score(valid.targets, valid.predictions)
    assert found.report["test"]["f2"] == f2_score(test.targets, test.predictions)
    assert found.scores["test_f2"] == found.report["test"]["f2"]
    assert json.loads(json.dumps(found.report)) == found.report


def test_what_is_chosen_is_chosen_without_the_half_that_is_scored(fitted: TrainedModel) -> None:
    """Other labels on one half of valid: not one prediction for that half changes, whatever is tried."""
    scores = many(fitted)
    half = half_mask(scores.valid.targets, 0)
    changed = np.where(half[:, None], 1 - scores.valid.targets, scores.valid.targets)
    other = replace(scores, valid=replace(scores.valid, targets=changed))
    with mock.patch("planets.evaluation.evaluation.half_mask", return_value=half):
        before, after = (evaluate([each], settings("auto"), PLANETS.groups) for each in (scores, other))
    np.testing.assert_array_equal(before.valid.predictions[half], after.valid.predictions[half])
    np.testing.assert_array_equal(before.valid.scores[half], after.valid.scores[half])
    assert (before.valid.predictions[~half] != after.valid.predictions[~half]).any()


def many(fitted: TrainedModel) -> ModelScores:
    """Enough chips to try everything on: the valid chips several times, with noise."""
    scores = scored(fitted)
    random = np.random.default_rng(0)
    valid = scores.valid
    targets = np.tile(valid.targets, (6, 1))
    plain, augmented = (
        (0.3 * targets + 0.6 * random.random(targets.shape)).astype(np.float32) for _ in range(2)
    )
    return replace(scores, valid=SplitScores(np.arange(len(targets)), targets, plain, augmented))


def test_test_labels_change_nothing_that_is_fitted(fitted: TrainedModel) -> None:
    scores = many(fitted)
    other = replace(scores, test=replace(scores.test, targets=1 - scores.test.targets))
    first, second = (evaluate([each], settings("auto"), PLANETS.groups) for each in (scores, other))
    assert first.decision == second.decision
    assert first.report["valid"] == second.report["valid"]
    assert first.report["refinements"] == second.report["refinements"]
    assert first.report["constant"]["tags"] == second.report["constant"]["tags"]


def test_everything_can_be_on_and_each_is_reported(fitted: TrainedModel) -> None:
    found = evaluate([many(fitted)], settings("always"), PLANETS.groups)
    decision = found.decision
    assert decision.tta
    assert decision.groups == PLANETS.groups
    assert [trial["name"] for trial in found.report["refinements"]] == ["tta", "weather_rule"]
    assert all(found.report["decision"].values())
    assert found.report["test"]["per_label"]["clear"]["threshold"] == decision.thresholds[0]


def test_without_augmented_scores_there_is_no_tta(fitted: TrainedModel) -> None:
    scores = scored(fitted, tta=False)
    assert scores.valid.augmented is None
    assert not evaluate([scores], settings("always"), PLANETS.groups).decision.tta


class TestEnsemble:
    def noisy(self, scores: ModelScores, spread: float, seed: int) -> ModelScores:
        random = np.random.default_rng(seed)

        def part(given: SplitScores) -> SplitScores:
            odds = 3.0 * given.targets - 1.5 + random.normal(0, spread, given.targets.shape)
            plain = (1 / (1 + np.exp(-odds))).astype(np.float32)
            return replace(given, plain=plain, augmented=None)

        return replace(scores, valid=part(scores.valid), test=part(scores.test))

    def test_is_evaluated_like_a_model_and_leaves_out_the_useless(self, fitted: TrainedModel) -> None:
        scores = many(fitted)
        models = [self.noisy(scores, spread, seed) for seed, spread in enumerate((2.0, 9.0, 2.0))]
        together = evaluate(models, settings("never"), PLANETS.groups)
        assert together.members == (0, 2)
        assert len(together.decision.shares) == 2
        alone = [
            evaluate([model], settings("never"), PLANETS.groups).report["valid"]["f2"] for model in models
        ]
        assert together.report["valid"]["f2"] > max(alone)

    def test_of_one_model_is_that_model(self, fitted: TrainedModel) -> None:
        scores = many(fitted)
        alone, twice = (
            evaluate(models, settings("auto"), PLANETS.groups) for models in ([scores], [scores, scores])
        )
        assert twice.members == (0,)
        assert twice.report == alone.report

    def test_other_chips_are_refused(self, fitted: TrainedModel) -> None:
        scores = scored(fitted)
        other = replace(scores, test=replace(scores.test, rows=scores.test.rows + 1))
        with pytest.raises(EvaluationError, match="different chips"):
            evaluate([scores, other], settings("never"), PLANETS.groups)


def test_scores_survive_a_file(fitted: TrainedModel, tmp_path: Path) -> None:
    for tta in (True, False):
        scores = scored(fitted, tta=tta)
        np.savez(tmp_path / "scores.npz", **scores.to_arrays())
        with np.load(tmp_path / "scores.npz", allow_pickle=False) as opened:
            again = ModelScores.from_arrays(opened)
        assert again.labels == scores.labels
        for part, other in ((scores.valid, again.valid), (scores.test, again.test)):
            for name in ("rows", "targets", "plain", "augmented"):
                np.testing.assert_array_equal(getattr(part, name), getattr(other, name))


def test_the_models_own_order_of_labels_counts(fitted: TrainedModel) -> None:
    order = list(range(17))[::-1]
    first, other = (
        evaluate([scored(each)], settings("never"), PLANETS.groups)
        for each in (fitted, reordered(fitted, order))
    )
    np.testing.assert_allclose(other.valid.scores, first.valid.scores[:, order], atol=1e-6)
    np.testing.assert_array_equal(other.test.targets, first.test.targets[:, order])
    assert other.report["test"]["map"] == pytest.approx(first.report["test"]["map"], abs=1e-6)


def test_other_labels_or_sizes_are_refused(fitted: TrainedModel) -> None:
    other = replace(fitted, labels=("lake", *LABELS[1:]))
    with pytest.raises(EvaluationError, match="lake"):
        scored(other)
    with pytest.raises(EvaluationError, match="32 px, the chips are 16 px"):
        score_model(fitted, make_store(TARGETS, size=16), TARGETS, LABELS, PARTS, False)


def test_weights_of_another_network_are_refused(fitted: TrainedModel) -> None:
    with pytest.raises(TrainingError, match="do not fit test_efficientnet"):
        scored(replace(fitted, architecture="test_efficientnet"))


def noisy_scores(noise: float) -> np.ndarray:
    """Scores that are off by independent noise of this size."""
    odds = 4.0 * MANY - 2 + NOISE.normal(0, noise, MANY.shape)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def test_one_network_is_all_of_it() -> None:
    assert ensemble_weights(MANY, [noisy_scores(1)]) == (1.0,)


def test_a_bad_network_gets_nothing_and_equal_ones_share() -> None:
    scores = [noisy_scores(2), noisy_scores(2), NOISE.random(MANY.shape).astype(np.float32)]
    weights = ensemble_weights(MANY, scores)
    assert weights[2] == 0
    assert abs(sum(weights) - 1) < 1e-12
    assert min(weights[:2]) > 0.3


def test_the_mean_is_no_worse_than_the_best_noisy_scores() -> None:
    scores = [noisy_scores(noise) for noise in (1.5, 2, 3)]
    weights = ensemble_weights(MANY, scores)
    mixed = sum(weight * given for weight, given in zip(weights, scores, strict=True))
    assert log_loss(MANY, mixed).mean() <= min(log_loss(MANY, given).mean() for given in scores)
