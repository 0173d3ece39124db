import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from planets.metrics.significance import Comparison, compare

PAIRS = st.integers(1, 30).flatmap(
    lambda count: st.tuples(*(arrays(np.float64, count, elements=st.floats(0, 1, width=16)) for _ in "ab"))
)
RANDOM = np.random.default_rng(0)
SCORES = RANDOM.choice([0.0, 0.5, 0.9, 1.0], 800)


@given(PAIRS)
def test_exchanged_models_give_the_opposite(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    first, second = pair
    there, back = compare(first, second, seed=3), compare(second, first, seed=3)
    assert 0 < there.p <= 1
    assert there.p == back.p
    assert (there.difference, there.low, there.high) == pytest.approx(
        (-back.difference, -back.high, -back.low), abs=1e-12
    )
    assert there.low <= there.high


@given(PAIRS)
def test_a_model_is_no_better_than_itself(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    same = compare(pair[0], pair[0])
    assert same == Comparison(0.0, 0.0, 0.0, 1.0)
    assert not same.better


def test_a_clear_difference_is_seen_and_chance_is_not() -> None:
    noise = RANDOM.normal(0, 0.05, 800)
    better = compare(SCORES + 0.01 + noise, SCORES)
    assert better.better
    assert better.p < 0.01
    assert 0 < better.low < better.difference < better.high
    assert not compare(SCORES + noise - noise.mean(), SCORES).better


def test_p_is_as_often_small_as_it_says() -> None:
    """Where two models are equally good, p < 0.1 happens in about a tenth of all cases."""
    series = RANDOM.normal(0, 1, (200, 60))
    small = sum(compare(values, np.zeros(60)).p < 0.1 for values in series)
    assert 8 <= small <= 34


def test_what_is_common_to_both_does_not_count() -> None:
    gain = RANDOM.normal(0.01, 0.05, 800)
    narrow, wide = compare(SCORES + gain, SCORES), compare(SCORES + gain, RANDOM.permutation(SCORES))
    assert narrow.high - narrow.low < (wide.high - wide.low) / 5


def test_is_read_in_one_line() -> None:
    line = str(Comparison(0.00314, -0.0002, 0.0064, 0.0612))
    assert line == "+0.0031, 95 % [-0.0002, +0.0064], p = 0.061"
    assert str(Comparison(0.1, 0.05, 0.15, 0.0002)).endswith("p < 0.001")


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 0.5]), ([], []), ([[1.0]], [[1.0]])])
def test_other_chips_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="same chips"):
        compare(first, second)


def test_negligible_differences_have_no_minus_sign() -> None:
    assert str(Comparison(-1e-9, -1e-9, -0.0, 1.0)) == "+0.0000, 95 % [+0.0000, +0.0000], p = 1"


def test_few_chips_are_tested_exactly() -> None:
    """All gains positive: of the 2^5 sign patterns two are at least as extreme."""
    assert compare(np.ones(5), np.zeros(5)).p == pytest.approx(2 / 32)
    assert compare([0.3], [0.1]) == (pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2), 1.0)
