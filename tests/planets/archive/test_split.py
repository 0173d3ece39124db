import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from planets.archive import SPLITS
from planets.archive.split import stratified_split
from planets.config import ConfigError

SHARES = np.array([0.93, 0.7, 0.3, 0.2, 0.1, 0.05, 0.01])


def chips(count: int, seed: int = 0) -> tuple[NDArray[np.uint8], list[str]]:
    random = np.random.default_rng(seed)
    labels = (random.random((count, len(SHARES))) < SHARES).astype(np.uint8)
    return labels, [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def test_parts_have_their_shares_of_chips_and_of_every_label() -> None:
    labels, groups = chips(4000)
    parts = stratified_split(labels, groups, 0.15, 0.1, seed=1)
    assert set(parts) == set(SPLITS)
    for part, share in zip(SPLITS, (0.75, 0.15, 0.1), strict=True):
        assert (parts == part).mean() == pytest.approx(share, abs=0.01)
        counts = labels[parts == part].sum(0)
        np.testing.assert_allclose(counts, labels.sum(0) * share, atol=12)
        assert counts[-1] == pytest.approx(labels[:, -1].sum() * share, abs=1.5)


def test_order_of_the_rows_does_not_matter() -> None:
    labels, groups = chips(300)
    parts = stratified_split(labels, groups, 0.2, 0.2, seed=1)
    order = np.random.default_rng(9).permutation(300)
    shuffled = stratified_split(labels[order], [groups[i] for i in order], 0.2, 0.2, seed=1)
    np.testing.assert_array_equal(shuffled, parts[order])


def test_same_seed_same_parts_and_another_seed_others() -> None:
    labels, groups = chips(300)
    first, again, other = (stratified_split(labels, groups, 0.2, 0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


def test_equal_chips_stay_together_even_with_unlike_labels() -> None:
    labels, groups = chips(300)
    groups[100:200] = groups[:100]
    groups[200:210] = [groups[0]] * 10
    parts = stratified_split(labels, groups, 0.2, 0.2, seed=1)
    np.testing.assert_array_equal(parts[100:200], parts[:100])
    assert set(parts[200:210]) == {parts[0]}


@pytest.mark.parametrize("seed", range(5))
def test_fifty_chips(seed: int) -> None:
    labels, groups = chips(50, seed)
    parts = stratified_split(labels, groups, 0.15, 0.15, seed=seed)
    assert 3 <= (parts == "valid").sum() <= 12
    assert 3 <= (parts == "test").sum() <= 12


def test_chips_without_labels_are_divided_too() -> None:
    labels, groups = chips(100)
    parts = stratified_split(np.zeros_like(labels), groups, 0.2, 0.2, seed=0)
    assert [int((parts == part).sum()) for part in SPLITS] == [60, 20, 20]


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 distinct chips are too few"):
        stratified_split(*chips(2), 0.15, 0.15, seed=0)


def test_the_assignment_is_the_same_everywhere() -> None:
    """Another machine or process must find the split of a cached run again; so it is written down here."""
    labels, groups = chips(60)
    parts = stratified_split(labels, groups, 0.2, 0.2, seed=42)
    assert hashlib.sha256(",".join(parts).encode()).hexdigest()[:12] == "14d692acc853"
