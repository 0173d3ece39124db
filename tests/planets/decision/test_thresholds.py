import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike, NDArray

from planets.decision.thresholds import apply_thresholds, best_thresholds, fit_thresholds
from planets.metrics.f2 import f2_score

Case = tuple[NDArray[np.uint8], NDArray[np.float32]]
Fit = Callable[[ArrayLike, ArrayLike], NDArray[np.float64]]


@st.composite
def cases(draw: st.DrawFn, max_labels: int = 4) -> Case:
    """Few distinct scores among them, 0 and 1 included, so that ties and edges are common."""
    shape = draw(st.tuples(st.integers(1, 10), st.integers(1, max_labels)))
    neighbor = float(np.nextafter(np.float32(0.5), np.float32(1)))
    levels = st.sampled_from([0.0, 1e-6, 0.2, 0.25, 0.5, neighbor, 0.9, 1.0])
    scores = st.one_of(levels, st.floats(0, 1, width=32))
    return (
        draw(arrays(np.uint8, shape, elements=st.integers(0, 1))),
        draw(arrays(np.float32, shape, elements=scores)),
    )


def every_cut(scores: NDArray[np.float32]) -> list[float]:
    """One threshold for each division that a threshold can make of these scores."""
    return [*np.unique(scores).tolist(), 2.0]


def noisy(rows: int, seed: int = 0) -> Case:
    random = np.random.default_rng(seed)
    targets = (random.random((rows, 5)) < [0.9, 0.5, 0.3, 0.1, 0.02]).astype(np.uint8)
    logits = 2.5 * targets - 2 + random.normal(size=targets.shape)
    return targets, (1 / (1 + np.exp(-logits))).astype(np.float32)


@given(cases(max_labels=1))
def test_one_label_gets_the_best_of_all_cuts(case: Case) -> None:
    targets, scores = case
    best = max(f2_score(targets, scores >= cut) for cut in every_cut(scores))
    found = apply_thresholds(scores, best_thresholds(targets, scores))
    assert f2_score(targets, found) == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(cases())
def test_no_change_of_one_label_improves(case: Case) -> None:
    targets, scores = case
    thresholds = best_thresholds(targets, scores)
    found = f2_score(targets, apply_thresholds(scores, thresholds))
    for label in range(targets.shape[1]):
        for cut in every_cut(scores[:, label]):
            changed = thresholds.copy()
            changed[label] = cut
            assert f2_score(targets, apply_thresholds(scores, changed)) <= found + 1e-9


@settings(deadline=None)
@given(cases(), st.floats(0, 1, width=32))
def test_never_worse_than_the_start(case: Case, start: float) -> None:
    targets, scores = case
    found = f2_score(targets, apply_thresholds(scores, best_thresholds(targets, scores, start)))
    assert found >= f2_score(targets, apply_thresholds(scores, [start] * scores.shape[1])) - 1e-9


@pytest.mark.parametrize("fit", [best_thresholds, fit_thresholds])
@settings(deadline=None)
@given(case=cases())
def test_a_round_trip_through_float32_and_json_moves_no_prediction(fit: Fit, case: Case) -> None:
    thresholds = fit(*case)
    expected = apply_thresholds(case[1], thresholds)
    np.testing.assert_array_equal(apply_thresholds(case[1], thresholds.astype(np.float32)), expected)
    reread = json.loads(json.dumps(thresholds.tolist()))
    np.testing.assert_array_equal(apply_thresholds(case[1], reread), expected)
    np.testing.assert_array_equal(case[1] >= thresholds.astype(np.float32), expected)


def test_thresholds_lie_midway_between_scores() -> None:
    targets = [[1, 1], [1, 1], [0, 1], [0, 1]]
    thresholds = best_thresholds(targets, [[0.9, 0.9], [0.8, 0.9], [0.4, 0.9], [0.1, 0.5]])
    assert thresholds == pytest.approx([0.6, 0.25])
    assert thresholds.dtype == np.float64


def test_the_best_on_chips_without_a_label_never_predict_it() -> None:
    thresholds = best_thresholds([[1, 0], [1, 0]], [[0.9, 1.0], [0.8, 0.3]])
    assert apply_thresholds([[0.9, 1.0]], thresholds).tolist() == [[1, 0]]


def test_tuning_beats_one_cut_for_all() -> None:
    targets, scores = noisy(2000)
    tuned = f2_score(targets, apply_thresholds(scores, best_thresholds(targets, scores)))
    assert tuned > max(f2_score(targets, scores >= cut) for cut in np.linspace(0.05, 0.6, 23)) + 0.005


def calibrated(rows: int, seed: int) -> Case:
    """Scores that are the labels' true probabilities: one threshold suits all labels."""
    random = np.random.default_rng(seed)
    scores = random.beta([6, 1, 1, 1, 1], [1, 2, 4, 12, 30], size=(rows, 5))
    return (random.random(scores.shape) < scores).astype(np.uint8), scores.astype(np.float32)


def score_elsewhere(thresholds: NDArray[np.float64], case: Case) -> float:
    return f2_score(case[0], apply_thresholds(case[1], thresholds))


def test_shrunk_thresholds_are_better_than_the_best_of_few_chips() -> None:
    gains = []
    others = calibrated(4000, seed=99)
    for seed in range(10):
        few = calibrated(60, seed)
        gains.append(
            score_elsewhere(fit_thresholds(*few), others) - score_elsewhere(best_thresholds(*few), others)
        )
    assert np.mean(gains) > 0.005


def test_nothing_is_shrunk_where_the_labels_need_thresholds_of_their_own() -> None:
    """The scores of `noisy` overrate rare labels."""
    best, fitted = best_thresholds(*noisy(500)), fit_thresholds(*noisy(500))
    others = noisy(4000, seed=1)
    assert score_elsewhere(fitted, others) > score_elsewhere(best, others) - 0.002
    assert np.ptp(fitted) > 0.3


def test_a_label_without_positives_gets_the_common_threshold() -> None:
    targets, scores = calibrated(60, seed=0)
    targets[:, 4] = 0
    common = max((np.arange(1, 100) / 100).tolist(), key=lambda each: f2_score(targets, scores >= each))
    assert fit_thresholds(targets, scores)[4] == pytest.approx(common)


def test_one_chip_is_enough() -> None:
    assert apply_thresholds([[0.9, 0.1]], fit_thresholds([[1, 0]], [[0.9, 0.1]])).tolist() == [[1, 0]]


@pytest.mark.parametrize("scores", [[[2.5, -1.0]], [[np.nan, 0.5]]])
def test_logits_are_refused(scores: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="sigmoid"):
        fit_thresholds([[1, 0]], scores)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="one shape"):
        fit_thresholds([[1, 0]], [[0.5]])
    with pytest.raises(ValueError, match="not empty"):
        fit_thresholds(np.zeros((0, 2)), np.zeros((0, 2)))
