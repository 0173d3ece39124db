import numpy as np
import pytest
from support.synthetic import make_labels

from planets.evaluation.cross_fit import cross_fit, half_mask


def test_each_label_is_in_both_halves_about_as_often() -> None:
    targets = make_labels(400)
    half = half_mask(targets, seed=3)
    assert abs(half.sum() - 200) <= 8
    counts = targets[half].sum(0, dtype=int), targets[~half].sum(0, dtype=int)
    assert np.abs(np.subtract(*counts))[-6:].max() <= 2, "the rarest labels first"


def test_the_seed_decides() -> None:
    targets = make_labels(100)
    np.testing.assert_array_equal(half_mask(targets, 5), half_mask(targets, 5))
    assert (half_mask(targets, 5) != half_mask(targets, 6)).any()


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_no_half_is_empty(rows: int) -> None:
    assert 0 < half_mask(make_labels(rows), 0).sum() < rows


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="two rows"):
        half_mask([[1, 0]], seed=0)


def test_each_half_is_predicted_from_the_other() -> None:
    values, half = np.arange(6), np.array([True, False, True, True, False, False])
    rows, mean = cross_fit(half, lambda fit, predict: (values[predict], np.full(3, values[fit].mean())))
    np.testing.assert_array_equal(rows, values)
    np.testing.assert_allclose(mean, np.where(half, values[~half].mean(), values[half].mean()))
