"""The stratified split of chips into train, validation and test, and its extension to new chips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from planets.archive import SPLITS
from planets.config import ConfigError

_NEW = len(SPLITS)
"""Number of the split of a chip that has none yet."""


def stratified_split(
    labels: NDArray[np.uint8],
    groups: Sequence[str],
    valid: float,
    test: float,
    seed: int,
    earlier: NDArray[np.str_] | None = None,
) -> NDArray[np.str_]:
    """Split chips so that every label has about the same frequency in each split.

    Groups of identical chips are divided by `stratify`. Chips of an earlier split stay where they are: the
    new ones fill what each split still lacks. The result depends on the set of chips, the earlier split and
    the seed, not on the order of the rows.

    Args:
        labels: 0/1 of shape `(N, L)`.
        groups: the digest of each chip's file; chips of equal digest stay in one split.
        valid: fraction of the validation split, between 0 and 1.
        test: fraction of the test split; the remaining chips are for training.
        seed: breaks ties between equally good assignments.
        earlier: the split of each row, "" for a new chip, see `earlier_splits`; None for a new split.

    Returns:
        The split of each row, "train", "valid" or "test", shape `(N,)`.

    Raises:
        ConfigError: a split would be empty.
    """
    digests, group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    merged = np.zeros((len(digests), labels.shape[1]), dtype=np.bool_)
    np.logical_or.at(merged, group_of, labels.astype(np.bool_))
    numbers = np.full(len(digests), _NEW)
    if earlier is not None:
        known = [SPLITS.index(name) if name else _NEW for name in earlier.tolist()]
        # Where rows of a group disagree, training wins: what was trained on is never tested on.
        np.minimum.at(numbers, group_of, known)
    numbers = stratify(merged, numbers, np.array([1 - valid - test, valid, test]), seed)
    parts: NDArray[np.str_] = np.array(SPLITS)[numbers][group_of]
    empty = [part for part in SPLITS if part not in parts]
    if empty:
        raise ConfigError(
            f"split: {len(digests)} distinct chips are too few for valid {valid} and test {test}: "
            f"{' and '.join(empty)} would be empty; raise that fraction, or add chips"
        )
    return parts


def earlier_splits(names: Sequence[str], digests: Sequence[str], table: pd.DataFrame) -> NDArray[np.str_]:
    """Return the split of each chip in the table of an earlier split, "" for new chips, shape `(N,)`.

    A chip is the earlier one if its file is, whatever its name is now; otherwise if its name is.

    Args:
        names: of the chips.
        digests: of their files.
        table: columns `name`, `part` and, unless an earlier version of this project wrote it, `digest`.
    """
    by_name = dict(zip(table["name"], table["part"], strict=True))
    by_digest = dict(zip(table["digest"], table["part"], strict=True)) if "digest" in table else {}
    return np.array(
        [by_digest.get(digest) or by_name.get(name, "") for name, digest in zip(names, digests, strict=True)],
        dtype=np.str_,
    )


def stratify(
    labels: NDArray[np.bool_], parts: NDArray[np.int64], shares: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """Divide rows so that each part gets its share of all rows and of every label.

    Iterative stratification (Sechidis et al., ECML PKDD 2011), rarest label first. The library
    `iterative-stratification` does the same where all rows are new; it cannot start from rows that have a
    part already.

    Args:
        labels: bool of shape `(N, L)`.
        parts: the part of each row, 0 to P - 1, or P for a new one, shape `(N,)`.
        shares: fraction of each of the P parts, shape `(P,)`.
        seed: breaks ties between equally good assignments.

    Returns:
        The part of each row, shape `(N,)`.
    """
    new, parts = len(shares), parts.copy()
    random = np.random.RandomState(seed)
    order = random.permutation(len(labels))
    assigned = parts[:, None] == np.arange(new)
    lacking = shares * len(labels) - assigned.sum(0)
    lacking_of = np.outer(shares, labels.sum(0)) - assigned.T.astype(np.int64) @ labels
    rows = order[parts[order] == new]
    while len(rows):
        remaining = labels[rows].sum(0)
        if remaining.any():
            rarest = _any_of(np.flatnonzero(remaining == remaining[remaining > 0].min()), random)
            carries = labels[rows, rarest]
            chosen, rows, wanted = rows[carries], rows[~carries], lacking_of[:, rarest]
        else:
            chosen, rows, wanted = rows, rows[:0], lacking
        for row in chosen:
            best = np.flatnonzero(wanted == wanted.max())
            part = _any_of(best[lacking[best] == lacking[best].max()], random)
            parts[row] = part
            lacking_of[part, labels[row]] -= 1
            lacking[part] -= 1
    return parts


def _any_of(ties: NDArray[np.int64], random: np.random.RandomState) -> np.int64:
    chosen: np.int64 = ties[random.choice(len(ties))] if len(ties) > 1 else ties[0]
    return chosen
