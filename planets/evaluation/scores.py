"""Scores of trained networks on validation and test, with and without test-time augmentation; numpy alone.

They are stored once per network, so that an ensemble needs no second pass over the chips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVALUATED_SPLITS = ("valid", "test")

BATCH_SIZE = 64
"""Chips per forward pass, in evaluation and by default in serving."""

TTA_VIEWS = 8
"""Views of a chip in test-time augmentation: the elements of the dihedral group; element 0 is the
identity."""


@dataclass(frozen=True, eq=False)
class SplitScores:
    """Scores of one network on one split.

    Attributes:
        rows: int64 of shape `(N,)`, positions of the chips in the store.
        targets: uint8 of shape `(N, L)`, 0 or 1.
        plain: float32 of shape `(N, L)`, 0 to 1, of the chips as they are.
        augmented: likewise, averaged over the 8 views of each chip; None if they were not scored.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.uint8]
    plain: NDArray[np.float32]
    augmented: NDArray[np.float32] | None

    def select(self, tta: bool) -> NDArray[np.float32]:
        """Return the scores with or without test-time augmentation. Raises ValueError if there are none."""
        if not tta:
            return self.plain
        if self.augmented is None:
            raise ValueError("these chips were scored without test-time augmentation")
        return self.augmented

    def subset(self, mask: NDArray[np.bool_]) -> SplitScores:
        """Return the scores of the chips in `mask`, shape `(N,)`."""
        augmented = None if self.augmented is None else self.augmented[mask]
        return SplitScores(self.rows[mask], self.targets[mask], self.plain[mask], augmented)


@dataclass(frozen=True, eq=False)
class ModelScores:
    """Scores of one network on validation and test, columns in the order of `labels`."""

    labels: tuple[str, ...]
    valid: SplitScores
    test: SplitScores

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays by name, for an npz file."""
        arrays: dict[str, NDArray[Any]] = {"labels": np.array(self.labels)}
        for split, scores in zip(EVALUATED_SPLITS, (self.valid, self.test), strict=True):
            arrays |= {f"{split}_{key}": array for key, array in vars(scores).items() if array is not None}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ModelScores:
        """Restore the scores from the result of `to_arrays`."""
        keys = SplitScores.__dataclass_fields__
        valid, test = (
            SplitScores(**{key: arrays.get(f"{split}_{key}") for key in keys})  # type: ignore[arg-type]
            for split in EVALUATED_SPLITS
        )
        return cls(tuple(arrays["labels"].tolist()), valid, test)


def dihedral_view(chips: NDArray[np.uint8], element: int) -> NDArray[np.uint8]:
    """Return square chips `(N, size, size, 3)` flipped and transposed, as `augment.turn` does in torch.

    Args:
        chips: not modified.
        element: 0 to 7. Bit 4 swaps rows and columns, then bit 1 mirrors left-right and bit 2 top-bottom.
    """
    view = chips.transpose(0, 2, 1, 3) if element & 4 else chips
    axes = tuple(axis for axis, bit in ((1, 2), (2, 1)) if element & bit)
    return np.ascontiguousarray(np.flip(view, axes))


def padded_batches(
    pixels: NDArray[np.uint8], rows: NDArray[np.int64], size: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield the chips `rows` of `pixels` in batches of `size`; the last of several is padded with zeros.

    Networks round differently for other batch sizes: so a chip's scores do not depend on its place.

    Raises:
        ValueError: there are no chips.
    """
    if not len(rows):
        raise ValueError("no chips to predict")
    for start in range(0, len(rows), size):
        chips = pixels[rows[start : start + size]]
        missing = size - len(chips) if start else 0
        yield np.pad(chips, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else chips


def mean_over_views(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of scores `(views, N, L)` over the views; a single view is returned bit for bit."""
    # In float64 the sum of a few float32 numbers is exact, so the order of the views does not matter.
    mean: NDArray[np.float32] = scores.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
