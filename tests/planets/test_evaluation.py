import dataclasses
import json

import numpy as np
import pytest
import torch
from synthetic import make_labels, make_parts, make_store

from planets.errors import BundleError
from planets.evaluation import evaluate
from planets.fitted import Fitted
from planets.labels import LABELS
from planets.metrics import f2_score
from planets.model import create, head_keys
from planets.thresholds import cross_fit_predictions, fit_thresholds

COUNT = 100
TARGETS, PARTS = make_labels(COUNT), make_parts(COUNT)


@pytest.fixture
def fitted() -> Fitted:
    torch.manual_seed(0)
    return Fitted(
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


def reordered(fitted: Fitted, order: list[int]) -> Fitted:
    """Return the same model with its outputs, and so its labels, in another order."""
    head = head_keys(create("test_resnet", 17))
    weights = {key: value[order] if key in head else value for key, value in fitted.weights.items()}
    return dataclasses.replace(fitted, weights=weights, labels=tuple(LABELS[i] for i in order))


def test_valid_is_scored_out_of_sample_and_test_with_thresholds_of_valid(fitted: Fitted) -> None:
    found = evaluate(fitted, make_store(TARGETS), TARGETS, PARTS, seed=3)
    valid, test = found.valid, found.test
    np.testing.assert_array_equal(valid.rows, np.flatnonzero(PARTS == "valid"))
    np.testing.assert_array_equal(test.targets, TARGETS[PARTS == "test"])
    np.testing.assert_array_equal(found.thresholds, fit_thresholds(valid.targets, valid.scores))
    np.testing.assert_array_equal(valid.predictions, cross_fit_predictions(valid.targets, valid.scores, 3))
    np.testing.assert_array_equal(test.predictions, test.scores >= found.thresholds)
    assert found.report["valid"]["f2"] == f2_score(valid.targets, valid.predictions)
    assert found.report["test"]["f2"] == f2_score(test.targets, test.predictions)
    assert found.scores["test_f2"] == found.report["test"]["f2"]
    assert json.loads(json.dumps(found.report)) == found.report


def test_test_labels_change_nothing_that_is_fitted(fitted: Fitted) -> None:
    changed = TARGETS.copy()
    changed[PARTS == "test"] = 1 - changed[PARTS == "test"]
    first, other = (evaluate(fitted, make_store(TARGETS), labels, PARTS) for labels in (TARGETS, changed))
    np.testing.assert_array_equal(first.thresholds, other.thresholds)
    assert first.report["valid"] == other.report["valid"]
    assert first.report["constant"]["tags"] == other.report["constant"]["tags"]


def test_the_models_own_order_of_labels_counts(fitted: Fitted) -> None:
    order = list(range(17))[::-1]
    first = evaluate(fitted, make_store(TARGETS), TARGETS, PARTS)
    other = evaluate(reordered(fitted, order), make_store(TARGETS), TARGETS, PARTS)
    np.testing.assert_allclose(other.valid.scores, first.valid.scores[:, order], atol=1e-6)
    np.testing.assert_array_equal(other.test.targets, first.test.targets[:, order])
    assert other.report["test"]["map"] == pytest.approx(first.report["test"]["map"], abs=1e-6)


def test_other_labels_or_sizes_are_refused(fitted: Fitted) -> None:
    other = dataclasses.replace(fitted, labels=("lake", *LABELS[1:]))
    with pytest.raises(BundleError, match="lake"):
        evaluate(other, make_store(TARGETS), TARGETS, PARTS)
    with pytest.raises(BundleError, match="32 px, the chips are 16 px"):
        evaluate(fitted, make_store(TARGETS, size=16), TARGETS, PARTS)


def test_weights_of_another_network_are_refused(fitted: Fitted) -> None:
    other = dataclasses.replace(fitted, architecture="test_efficientnet")
    with pytest.raises(BundleError, match="do not fit test_efficientnet"):
        evaluate(other, make_store(TARGETS), TARGETS, PARTS)
