import numpy as np
import pytest
from pydantic import ValidationError

from planets.decision.decision import Decision, mix
from planets.decision.thresholds import apply_thresholds
from planets.labels import apply_groups
from planets.synthetic.labels import LABELS, PLANETS, WEATHER

RANDOM = np.random.default_rng(0)
ONE, OTHER = RANDOM.random((2, 60, 17)).astype(np.float32)

PLAIN = Decision(
    labels=LABELS,
    shares=(1.0,),
    tta=False,
    thresholds=tuple(np.linspace(0.1, 0.4, 17).tolist()),
    groups=(),
)
WHOLE = Decision(
    labels=LABELS,
    shares=(0.35, 0.65),
    tta=True,
    thresholds=(0.25,) * 17,
    groups=PLANETS.groups,
)


def changed(decision: Decision, **changes: object) -> Decision:
    return Decision.model_validate(decision.model_dump() | changes)


def test_one_network_with_thresholds() -> None:
    probabilities = PLAIN.probabilities([ONE])
    np.testing.assert_array_equal(probabilities, ONE)
    np.testing.assert_array_equal(PLAIN.predict(probabilities), apply_thresholds(ONE, PLAIN.thresholds))


def test_two_networks_with_everything() -> None:
    probabilities = WHOLE.probabilities([ONE, OTHER])
    np.testing.assert_array_equal(probabilities, mix([ONE, OTHER], [0.35, 0.65]))
    predictions = apply_thresholds(probabilities, WHOLE.thresholds)
    expected = apply_groups(predictions, probabilities, LABELS, PLANETS.groups)
    np.testing.assert_array_equal(WHOLE.predict(probabilities), expected)


@pytest.mark.parametrize("decision", [PLAIN, WHOLE])
def test_survives_json_bit_for_bit(decision: Decision) -> None:
    again = Decision.model_validate_json(decision.model_dump_json())
    assert again == decision
    scores = [ONE, OTHER][: len(decision.shares)]
    np.testing.assert_array_equal(again.probabilities(scores), decision.probabilities(scores))


def test_chips_are_decided_each_for_itself() -> None:
    whole = WHOLE.predict(WHOLE.probabilities([ONE, OTHER]))
    for row in range(5):
        alone = WHOLE.predict(WHOLE.probabilities([ONE[row : row + 1], OTHER[row : row + 1]]))
        np.testing.assert_array_equal(alone[0], whole[row])


def test_a_mean_stays_within_0_and_1() -> None:
    ones = np.ones((1, 17), dtype=np.float32)
    assert mix([ones] * 3, [0.35, 0.55, 0.1]).max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:16]}, "as many thresholds"),
        ({"labels": ("clear",) * 17}, "distinct labels"),
        ({"thresholds": (-0.5,) * 17}, "greater than or equal to 0"),
        ({"shares": (0.5, 0.4)}, "add up to 1"),
        ({"shares": (1.0, 0.0)}, "greater than 0"),
        ({"labels": tuple(f"x{label}" for label in LABELS), "groups": PLANETS.groups}, ", ".join(WEATHER)),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_refuses_what_does_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(PLAIN, **changes)
