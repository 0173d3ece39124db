import numpy as np
import pytest
from support.synthetic import make_labels

from planets.evaluation.cross_fit import halves


def test_each_label_is_in_both_halves_about_as_often() -> None:
    targets = make_labels(400)
    half = halves(targets, seed=3)
    assert abs(half.sum() - 200) <= 8
    counts = targets[half].sum(0, dtype=int), targets[~half].sum(0, dtype=int)
    assert np.abs(np.subtract(*counts))[-6:].max() <= 2, "the rarest labels first"


def test_the_seed_decides() -> None:
    targets = make_labels(100)
    np.testing.assert_array_equal(halves(targets, 5), halves(targets, 5))
    assert (halves(targets, 5) != halves(targets, 6)).any()


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_no_half_is_empty(rows: int) -> None:
    assert 0 < halves(make_labels(rows), 0).sum() < rows


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="two rows"):
        halves([[1, 0]], seed=0)
