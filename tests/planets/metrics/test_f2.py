import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, fbeta_score

from planets.metrics.f2 import (
    average_precision,
    best_constant,
    f2_interval,
    f2_per_sample,
    f2_score,
    mean_average_precision,
    summary,
)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(2, 6)))
    binary = arrays(np.uint8, shape, elements=st.integers(0, 1))
    return draw(binary), draw(binary)


def some(rows: int = 60, labels: int = 4, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    targets = (random.random((rows, labels)) < [0.7, 0.4, 0.2, 0.1][:labels]).astype(np.uint8)
    noise = random.normal(size=targets.shape)
    return targets, (1 / (1 + np.exp(2 - 3.0 * targets - noise))).astype(np.float32)


@given(pairs())
def test_f2_is_scikit_learns(pair: Pair) -> None:
    expected = fbeta_score(*pair, beta=2, average="samples", zero_division=0)
    assert f2_score(*pair) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(pairs())
def test_macro_and_micro_f2_are_scikit_learns(pair: Pair) -> None:
    targets, predictions = pair
    labels = [f"label {i}" for i in range(targets.shape[1])]
    report = summary(targets, predictions.astype(float), predictions, [0.5] * len(labels), labels)
    for name in ("macro", "micro"):
        expected = fbeta_score(targets, predictions, beta=2, average=name, zero_division=0)
        assert report[f"f2_{name}"] == pytest.approx(expected, abs=1e-12)


def test_f2_by_hand() -> None:
    targets = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    predictions = np.array([[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(f2_per_sample(targets, predictions), [5 / 11, 1, 0, 0])


def test_f2_of_the_set_is_not_the_mean_of_uneven_batches() -> None:
    targets, predictions = np.array([[1, 0], [1, 0], [1, 0]]), np.array([[1, 0], [1, 0], [0, 1]])
    of_batches = np.mean([f2_score(targets[:2], predictions[:2]), f2_score(targets[2:], predictions[2:])])
    assert f2_score(targets, predictions) == pytest.approx(2 / 3)
    assert of_batches == pytest.approx(1 / 2)


def test_scores_in_place_of_predictions_are_refused() -> None:
    with pytest.raises(ValueError, match="thresholds first"):
        f2_score([[1, 0]], [[0.9, 0.2]])


def test_unlike_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        f2_score([[1, 0]], [[1, 0, 1]])
    with pytest.raises(ValueError, match="non-empty"):
        f2_score(np.zeros((0, 3)), np.zeros((0, 3)))


def test_interval_is_that_of_resampled_rows() -> None:
    per_sample = np.random.default_rng(0).choice([0.0, 0.4, 0.9, 1.0], size=500)
    random = np.random.default_rng(1)
    plain = [random.choice(per_sample, size=500).mean() for _ in range(2000)]
    low, high = f2_interval(per_sample)
    assert low < per_sample.mean() < high
    np.testing.assert_allclose([low, high], np.percentile(plain, [2.5, 97.5]), atol=0.004)
    assert (low, high) == f2_interval(per_sample)


def test_average_precision_is_scikit_learns_and_nan_without_support() -> None:
    targets, scores = some()
    targets[:, 3] = 0
    found = average_precision(targets, scores)
    expected = [average_precision_score(targets[:, i], scores[:, i]) for i in range(3)]
    np.testing.assert_allclose(found[:3], expected)
    assert np.isnan(found[3])
    assert mean_average_precision(targets, scores) == pytest.approx(np.mean(expected))
    assert mean_average_precision(np.zeros((3, 2)), np.zeros((3, 2))) == 0.0


def test_summary_is_json_and_states_each_label() -> None:
    targets, scores = some()
    targets[:, 3] = 0
    predictions = (scores >= 0.5).astype(np.uint8)
    report = json.loads(json.dumps(summary(targets, scores, predictions, [0.5] * 4, list("abcd"))))
    assert report["chips"] == 60
    assert list(report["per_label"]) == list("abcd")
    assert report["f2"] == pytest.approx(f2_score(targets, predictions))
    assert report["f2_interval"][0] < report["f2"] < report["f2_interval"][1]
    row = report["per_label"]["b"]
    assert row["support"] == targets[:, 1].sum()
    assert row["threshold"] == 0.5
    assert row["precision"] == pytest.approx((targets & predictions)[:, 1].sum() / predictions[:, 1].sum())
    assert row["recall"] == pytest.approx((targets & predictions)[:, 1].sum() / targets[:, 1].sum())
    assert report["per_label"]["d"]["ap"] is None
    assert report["per_label"]["d"]["recall"] == 0


def test_f2_in_a_summary_is_of_the_predictions_given() -> None:
    targets, scores = some()
    report = summary(targets, scores, targets, [0.5] * 4, list("abcd"))
    assert report["f2_micro"] == 1
    assert report["f2"] == targets.any(1).mean()


@given(arrays(np.uint8, st.tuples(st.integers(1, 10), st.integers(2, 5)), elements=st.integers(0, 1)))
def test_best_constant_is_the_best_of_all(targets: NDArray[np.uint8]) -> None:
    labels = targets.shape[1]
    choices = ((np.arange(2**labels)[:, None] >> np.arange(labels)) & 1).astype(np.uint8)
    best = max(f2_score(targets, np.broadcast_to(choice, targets.shape)) for choice in choices)
    chosen, score = best_constant(targets, targets)
    assert score == pytest.approx(best, abs=1e-12)
    assert score == pytest.approx(f2_score(targets, np.broadcast_to(chosen, targets.shape)))


def test_best_constant_is_scored_on_the_other_part() -> None:
    chosen, score = best_constant([[1, 0], [1, 0]], [[0, 1], [1, 0]])
    assert chosen.tolist() == [1, 0]
    assert score == pytest.approx(0.5)
