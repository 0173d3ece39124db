import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from planets.labels import LABELS, WEATHER, one_weather, to_vector

COLUMNS = [LABELS.index(label) for label in WEATHER]
CLOUDY = LABELS.index("cloudy")
PREDICTIONS = arrays(np.uint8, (4, 17), elements=st.integers(0, 1))
PROBABILITIES = arrays(np.float32, (4, 17), elements=st.floats(0, 1, width=32))


@given(PREDICTIONS, PROBABILITIES)
def test_exactly_one_weather_and_cloudy_alone(
    predictions: NDArray[np.uint8], probabilities: NDArray[np.float32]
) -> None:
    before = predictions.copy()
    made = one_weather(predictions, probabilities, LABELS)
    np.testing.assert_array_equal(predictions, before)
    assert (made[:, COLUMNS].sum(axis=1) == 1).all()
    assert (made[made[:, CLOUDY] == 1].sum(axis=1) == 1).all()
    ground = np.setdiff1d(np.arange(17), COLUMNS)
    clear = made[:, CLOUDY] == 0
    np.testing.assert_array_equal(made[clear][:, ground], predictions[clear][:, ground])


@given(PREDICTIONS, PROBABILITIES)
def test_twice_is_once(predictions: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
    once = one_weather(predictions, probabilities, LABELS)
    np.testing.assert_array_equal(one_weather(once, probabilities, LABELS), once)


def test_the_likeliest_weather_is_taken_in_any_order_of_labels() -> None:
    labels = LABELS[::-1]
    probabilities = np.full((1, 17), 0.1, dtype=np.float32)
    probabilities[0, labels.index("haze")] = 0.3
    predictions = to_vector(["clear", "haze", "road"])[None, ::-1]
    made = one_weather(predictions, probabilities, labels)
    np.testing.assert_array_equal(made[0, ::-1], to_vector(["haze", "road"]))


def test_labels_without_weather_are_refused() -> None:
    with pytest.raises(ValueError, match="clear"):
        one_weather(np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.float32), ["road", "water"])
