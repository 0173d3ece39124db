"""Label sets: what a file may say, and the rule of their groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.config.folders import CONFIGS
from pipeline.config.settings import read_label_set
from planets.labels import Group, LabelSet, apply_groups
from planets.synthetic.labels import LABELS, PLANETS, WEATHER

COLUMNS = [LABELS.index(label) for label in WEATHER]
CLOUDY = LABELS.index("cloudy")
PREDICTIONS = arrays(np.uint8, (4, 17), elements=st.integers(0, 1))
PROBABILITIES = arrays(np.float32, (4, 17), elements=st.floats(0, 1, width=32))
SHAPES = ("circle", "square", "red", "blue", "empty")


@given(PREDICTIONS, PROBABILITIES)
def test_exactly_one_weather_and_cloudy_alone(
    predictions: NDArray[np.uint8], probabilities: NDArray[np.float32]
) -> None:
    before = predictions.copy()
    ruled = apply_groups(predictions, probabilities, LABELS, PLANETS.groups)
    np.testing.assert_array_equal(predictions, before)
    assert (ruled[:, COLUMNS].sum(axis=1) == 1).all()
    assert (ruled[ruled[:, CLOUDY] == 1].sum(axis=1) == 1).all()
    ground = np.setdiff1d(np.arange(17), COLUMNS)
    clear = ruled[:, CLOUDY] == 0
    np.testing.assert_array_equal(ruled[clear][:, ground], predictions[clear][:, ground])


@given(PREDICTIONS, PROBABILITIES)
def test_applying_a_rule_twice_changes_nothing(
    predictions: NDArray[np.uint8], probabilities: NDArray[np.float32]
) -> None:
    once = apply_groups(predictions, probabilities, LABELS, PLANETS.groups)
    np.testing.assert_array_equal(apply_groups(once, probabilities, LABELS, PLANETS.groups), once)


def test_the_likeliest_weather_is_taken_in_any_order_of_labels() -> None:
    labels = LABELS[::-1]
    probabilities = np.full((1, 17), 0.1, dtype=np.float32)
    probabilities[0, labels.index("haze")] = 0.3
    predictions = PLANETS.to_vector(["clear", "haze", "road"])[None, ::-1]
    ruled = apply_groups(predictions, probabilities, labels, PLANETS.groups)
    np.testing.assert_array_equal(ruled[0, ::-1], PLANETS.to_vector(["haze", "road"]))


def test_several_groups_and_none() -> None:
    groups = (
        Group(name="shape", labels=("circle", "square", "empty"), alone=("empty",)),
        Group(name="color", labels=("red", "blue")),
    )
    probabilities = np.array([[0.6, 0.1, 0.3, 0.4, 0.2], [0.1, 0.2, 0.9, 0.1, 0.7]], dtype=np.float32)
    predictions = np.zeros((2, 5), dtype=np.uint8)
    ruled = apply_groups(predictions, probabilities, SHAPES, groups)
    assert ruled.tolist() == [[1, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(apply_groups(predictions, probabilities, SHAPES, ()), predictions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["bare soil", "water"]}, "'bare soil' is no label.*write 'bare-soil'"),
        ({"labels": ["a,b", "water"]}, "'a,b' is no label.*write 'a-b'"),
        ({"labels": ["", "water"]}, "'' is no label"),
        ({"labels": ["tags", "water"]}, "'tags' is no label: predictions have a column of that name"),
        ({"labels": ["water"]}, "at least 2 items"),
        ({"labels": ["water", "road", "water"]}, "labels: water: given twice"),
        ({"titles": {"lake": "a lake"}}, "lake: titled or grouped, but not among the labels"),
        ({"titles": {"circle": "red"}}, "titles: red: the name of several labels"),
        ({"groups": [{"name": "shape", "labels": ["circle", "cube"]}]}, "cube: titled or grouped"),
        ({"groups": [{"name": "shape", "labels": ["circle"]}]}, "at least 2 items"),
        (
            {"groups": [{"name": "shape", "labels": ["circle", "square"], "alone": ["red"]}]},
            "red: not among the labels of the group 'shape'",
        ),
        ({"groups": [{"name": name, "labels": ["circle", "square"]} for name in "ab"]}, "in a group twice"),
        ({"card": {"metres_per_pixel": 0}}, "greater than 0"),
        ({"colors": []}, "colors"),
    ],
)
def test_a_faulty_label_set_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LabelSet.model_validate({"labels": SHAPES} | changes)


def test_a_label_set_survives_json() -> None:
    assert LabelSet.model_validate_json(PLANETS.model_dump_json()) == PLANETS
    assert (PLANETS.title("artisinal_mine"), PLANETS.title("road")) == ("artisanal mine", "road")


def test_the_planets_file_is_the_label_set_of_the_sample() -> None:
    assert read_label_set(CONFIGS / "labels/planets.yaml") == PLANETS


def test_every_label_set_of_the_project_is_valid() -> None:
    for file in (CONFIGS / "labels").glob("*.yaml"):
        assert len(read_label_set(file).labels) >= 2, file
