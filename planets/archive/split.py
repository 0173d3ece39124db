"""The division of chips into train, valid and test."""

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
    """Divide chips so that each part has about the same share of every label, the rarest first.

    Iterative stratification (Sechidis et al., ECML PKDD 2011) over groups of equal chips. The result depends
    on which chips there are and on the seed, not on the order of the rows.

    Args:
        labels: 0/1 of shape `(N, L)`.
        groups: a digest per chip; chips of equal digest are the same picture and stay in one part.
        valid: share of the valid part, between 0 and 1.
        test: share of the test part; what is in neither is train.
        seed: of the order in which equally good places are given away.

    Returns:
        The part of each row, "train", "valid" or "test", shape `(N,)`.

    Raises:
        ConfigError: there are too few chips to fill all three parts.
    """
    digests, group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    merged = np.zeros((len(digests), labels.shape[1]), dtype=np.bool_)
    np.logical_or.at(merged, group_of, labels.astype(np.bool_))
    parts = np.array(SPLITS)[_assign(merged, np.array([1 - valid - test, valid, test]), seed)][group_of]
    empty = [part for part in SPLITS if part not in parts]
    if empty:
        raise ConfigError(
            f"split: {len(digests)} distinct chips are too few for valid {valid} and test {test}: "
            f"{' and '.join(empty)} would be empty; raise that share, or bring more chips"
        )
    return parts


def _assign(labels: NDArray[np.bool_], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return the part of each row by number, filling `shares`, in an order of rows drawn by `seed`."""
    random = np.random.RandomState(seed)
    order = random.permutation(len(labels))
    parts = np.empty(len(labels), dtype=np.int64)
    parts[order] = IterativeStratification(labels[order], shares, random)
    return parts
