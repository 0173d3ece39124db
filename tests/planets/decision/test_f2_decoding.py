"""The exact algorithm against all sets of labels and all truths there can be."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from planets.decision.f2_decoding import best_sets, expected_f2
from planets.metrics.f2 import f2_per_sample

CHANCES = st.integers(1, 5).flatmap(
    lambda labels: arrays(np.float64, (3, labels), elements=st.floats(0, 1, width=32))
)


def everything(labels: int) -> NDArray[np.uint8]:
    return np.array(list(product((0, 1), repeat=labels)), dtype=np.uint8)


def expectation(chances: NDArray[np.float64], predicted: NDArray[np.uint8]) -> float:
    """The expected F2 of one prediction, straight from its definition."""
    truths = everything(len(chances))
    likely = np.where(truths, chances, 1 - chances).prod(axis=1)
    return float(likely @ f2_per_sample(truths, np.broadcast_to(predicted, truths.shape)))


@given(CHANCES)
def test_no_set_has_a_greater_expected_f2(chances: NDArray[np.float64]) -> None:
    chosen = best_sets(chances)
    for row, predicted in zip(chances, chosen, strict=True):
        best = max(expectation(row, other) for other in everything(len(row)))
        assert expectation(row, predicted) >= best - 1e-9


@given(CHANCES)
def test_says_what_each_size_is_worth(chances: NDArray[np.float64]) -> None:
    worth = expected_f2(chances)
    for row, values in zip(chances, worth, strict=True):
        order = np.argsort(-row, kind="stable")
        for size, value in enumerate(values, start=1):
            predicted = np.isin(np.arange(len(row)), order[:size]).astype(np.uint8)
            assert abs(expectation(row, predicted) - value) < 1e-9


@given(CHANCES)
def test_a_likelier_label_is_never_left_out_for_another(chances: NDArray[np.float64]) -> None:
    for row, predicted in zip(chances, best_sets(chances).astype(bool), strict=True):
        assert predicted.any()
        assert row[predicted].min() >= row[~predicted].max(initial=0)


def test_certain_labels_are_the_prediction() -> None:
    truth = np.array([[1, 0, 1, 0, 0]])
    np.testing.assert_array_equal(best_sets(truth.astype(float)), truth)


def test_many_chips_are_each_as_if_alone() -> None:
    chances = np.random.default_rng(0).random((5000, 17)).astype(np.float32)
    whole = best_sets(chances)
    for row in (0, 2047, 2048, 4999):
        np.testing.assert_array_equal(whole[row], best_sets(chances[row : row + 1])[0])
    assert best_sets(chances[:0]).shape == (0, 17)
