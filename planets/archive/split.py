"""The stratified split of chips into train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification
from numpy.typing import NDArray

from planets.archive import SPLITS
from planets.config import ConfigError


def stratified_split(
    labels: NDArray[np.uint8], groups: Sequence[str], valid: float, test: float, seed: int
) -> NDArray[np.str_]:
    """Split chips so that every label has about the same frequency in each split.

    Iterative stratification (Sechidis et al., ECML PKDD 2011) over groups of identical chips, rarest label
    first. The result depends on the set of chips and the seed, not on the order of the rows.

    Args:
        labels: 0/1 of shape `(N, L)`.
        groups: the digest of each chip's file; chips of equal digest stay in one split.
        valid: fraction of the validation split, between 0 and 1.
        test: fraction of the test split; the remaining chips are for training.
        seed: breaks ties between equally good assignments.

    Returns:
        The split of each row, "train", "valid" or "test", shape `(N,)`.

    Raises:
        ConfigError: a split would be empty.
    """
    digests, group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    merged = np.zeros((len(digests), labels.shape[1]), dtype=np.bool_)
    np.logical_or.at(merged, group_of, labels.astype(np.bool_))
    parts = np.array(SPLITS)[_assign(merged, np.array([1 - valid - test, valid, test]), seed)][group_of]
    empty = [part for part in SPLITS if part not in parts]
    if empty:
        raise ConfigError(
            f"split: {len(digests)} distinct chips are too few for valid {valid} and test {test}: "
            f"{' and '.join(empty)} would be empty; raise that fraction, or add chips"
        )
    return parts


def _assign(labels: NDArray[np.bool_], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return the split of each row by number, filling `shares`; `seed` shuffles the rows first."""
    random = np.random.RandomState(seed)
    order = random.permutation(len(labels))
    parts = np.empty(len(labels), dtype=np.int64)
    parts[order] = IterativeStratification(labels[order], shares, random)
    return parts
