import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from planets.decision.calibration import Calibration, log_loss

RANDOM = np.random.default_rng(0)
COUNT = 4000


def sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-odds))


def test_finds_how_scores_were_distorted() -> None:
    odds = RANDOM.normal(-1, 2, (COUNT, 3))
    targets = (RANDOM.random((COUNT, 3)) < sigmoid(odds)).astype(np.uint8)
    bold = sigmoid(2 * odds + 1)  # too sure, and too high
    calibration = Calibration.fit(targets, bold)
    np.testing.assert_allclose(calibration.slopes, 0.5, atol=0.07)
    np.testing.assert_allclose(calibration.intercepts, -0.5, atol=0.2)
    assert log_loss(targets, calibration(bold)).mean() < log_loss(targets, bold).mean() - 0.05


def test_good_scores_stay_as_they_are() -> None:
    chances = RANDOM.random((COUNT, 2)).astype(np.float32)
    targets = (RANDOM.random((COUNT, 2)) < chances).astype(np.uint8)
    np.testing.assert_allclose(Calibration.fit(targets, chances)(chances), chances, atol=0.03)


@given(
    arrays(np.uint8, (6, 2), elements=st.integers(0, 1)),
    arrays(np.float32, (6, 2), elements=st.floats(0, 1, width=32)),
)
def test_any_scores_become_probabilities_in_the_same_order(
    targets: NDArray[np.uint8], scores: NDArray[np.float32]
) -> None:
    made = Calibration.fit(targets, scores)(scores)
    assert made.dtype == np.float32
    assert ((made >= 0) & (made <= 1)).all()
    for column in range(2):
        order = np.argsort(scores[:, column])
        assert (np.diff(made[order, column]) >= 0).all()


def test_a_label_that_no_chip_carries_hardly_moves() -> None:
    scores = np.full((50, 1), 0.02, dtype=np.float32)
    assert 0.005 < Calibration.fit(np.zeros((50, 1), np.uint8), scores)(scores)[0, 0] < 0.02


def test_a_bounded_slope_keeps_the_base_rate() -> None:
    """Scores that fall where the label is more likely: the slope ends at its bound, the mean does not."""
    odds = RANDOM.normal(2, 1, (COUNT, 1))
    targets = (RANDOM.random((COUNT, 1)) < sigmoid(-odds)).astype(np.uint8)
    calibration = Calibration.fit(targets, sigmoid(odds))
    assert calibration.slopes == (0.1,)
    assert calibration(sigmoid(odds)).mean() == pytest.approx(targets.mean(), abs=0.02)


def test_survives_json_bit_for_bit() -> None:
    scores = RANDOM.random((40, 3)).astype(np.float32)
    calibration = Calibration.fit((RANDOM.random((40, 3)) < 0.3).astype(np.uint8), scores)
    again = Calibration.model_validate_json(calibration.model_dump_json())
    np.testing.assert_array_equal(again(scores), calibration(scores))


def test_falling_lines_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Calibration(slopes=(-1.0,), intercepts=(0.0,))
