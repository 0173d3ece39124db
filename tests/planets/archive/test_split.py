import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iterstrat.ml_stratifiers import IterativeStratification
from numpy.typing import NDArray

from planets.archive import SPLITS
from planets.archive.split import earlier_splits, stratified_split
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


@pytest.mark.parametrize("seed", range(5))
def test_a_new_split_is_the_librarys(seed: int) -> None:
    labels, groups = chips(200, seed)
    order = np.argsort(groups)
    random = np.random.RandomState(seed)
    shuffled = order[random.permutation(200)]
    numbers = IterativeStratification(
        labels[shuffled].astype(bool), np.array([1 - 0.2 - 0.1, 0.2, 0.1]), random
    )
    parts = stratified_split(labels, groups, 0.2, 0.1, seed)
    np.testing.assert_array_equal(parts[shuffled], np.array(SPLITS)[numbers])


GROWTH = st.lists(st.integers(1, 120), min_size=1, max_size=5)
"""Numbers of chips that are added, version by version, to the first 60."""


class TestExtension:
    @given(growth=GROWTH, seed=st.integers(0, 1000))
    @settings(max_examples=40, deadline=None)
    def test_earlier_chips_never_move_and_the_shares_hold(self, growth: list[int], seed: int) -> None:
        count, parts = 60, np.array([], dtype=str)
        labels, groups = chips(60 + sum(growth), seed)
        for added in [0, *growth]:
            count += added
            earlier = np.concatenate([parts, np.full(count - len(parts), "")]).astype(str)
            grown = stratified_split(labels[:count], groups[:count], 0.15, 0.15, seed, earlier)
            np.testing.assert_array_equal(grown[: len(parts)], parts)
            parts = grown
            for part, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
                is_in = parts == part
                assert is_in.sum() == pytest.approx(share * count, abs=1 + len(SHARES))
                # The rarest label is assigned first, so nothing but rounding keeps it from its share.
                assert labels[:count][is_in, -1].sum() == pytest.approx(
                    labels[:count, -1].sum() * share, abs=2
                )

    @given(seed=st.integers(0, 1000), copies=st.integers(1, 30))
    @settings(max_examples=25, deadline=None)
    def test_a_copy_of_an_earlier_chip_joins_it(self, seed: int, copies: int) -> None:
        labels, groups = chips(100, seed)
        before = stratified_split(labels[:70], groups[:70], 0.2, 0.2, seed)
        groups[70 : 70 + copies] = groups[:copies]
        earlier = np.concatenate([before, np.full(30, "")]).astype(str)
        parts = stratified_split(labels, groups, 0.2, 0.2, seed, earlier)
        np.testing.assert_array_equal(parts[:70], before)
        np.testing.assert_array_equal(parts[70 : 70 + copies], before[:copies])

    def test_single_chips_one_after_the_other_reach_every_split(self) -> None:
        """Stratified among themselves alone, each would be in train, which has the largest share."""
        labels, groups = chips(80)
        parts = stratified_split(labels[:40], groups[:40], 0.2, 0.2, seed=1)
        for count in range(41, 81):
            earlier = np.append(parts, "")
            parts = stratified_split(labels[:count], groups[:count], 0.2, 0.2, 1, earlier)
        assert [int((parts == part).sum()) for part in SPLITS] == pytest.approx([48, 16, 16], abs=4)

    def test_order_of_the_rows_does_not_matter(self) -> None:
        labels, groups = chips(200)
        earlier = np.append(stratified_split(labels[:150], groups[:150], 0.2, 0.2, 1), np.full(50, ""))
        order = np.random.default_rng(9).permutation(200)
        shuffled = [groups[row] for row in order]
        np.testing.assert_array_equal(
            stratified_split(labels[order], shuffled, 0.2, 0.2, 1, earlier[order]),
            stratified_split(labels, groups, 0.2, 0.2, 1, earlier)[order],
        )

    def test_chips_that_became_identical_are_trained_on_if_one_was(self) -> None:
        labels, groups = chips(30)
        earlier = np.array(["train"] * 18 + ["valid"] * 6 + ["test"] * 6)
        groups[29] = groups[18] = groups[0]
        parts = stratified_split(labels, groups, 0.2, 0.2, 1, earlier)
        assert set(parts[[0, 18, 29]]) == {"train"}
        np.testing.assert_array_equal(np.delete(parts, [18, 29]), np.delete(earlier, [18, 29]))

    def test_a_chip_is_found_again_by_its_file_then_by_its_name(self) -> None:
        table = pd.DataFrame({"name": ["a", "b", "c"], "part": list(SPLITS), "digest": ["1", "2", "3"]})
        found = earlier_splits(["c", "b", "x", "y"], ["1", "9", "3", "9"], table)
        assert found.tolist() == ["train", "valid", "test", ""]

    def test_a_table_without_digests_goes_by_name(self) -> None:
        table = pd.DataFrame({"name": ["a"], "part": ["test"]})
        assert earlier_splits(["a", "b"], ["1", "2"], table).tolist() == ["test", ""]
