"""What a network says of the chips that judge it: kept, so that an ensemble needs no second pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = ("valid", "test")

BATCH_SIZE = 64
"""Chips that go through a network together, in evaluation and by default in serving."""


@dataclass(frozen=True, eq=False)
class PartScores:
    """The scores of one part of the chips.

    Attributes:
        rows: int64 of shape `(N,)`, where the chips are in the store.
        targets: uint8 of shape `(N, L)`, 0 or 1.
        plain: float32 of shape `(N, L)`, 0 to 1: of the chips as they are.
        turned: likewise, the mean over the 8 turns of each chip; None if they were not tried.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.uint8]
    plain: NDArray[np.float32]
    turned: NDArray[np.float32] | None

    def view(self, tta: bool) -> NDArray[np.float32]:
        """Return the scores with or without test-time augmentation. Raises ValueError if there are none."""
        if not tta:
            return self.plain
        if self.turned is None:
            raise ValueError("these chips were scored without test-time augmentation")
        return self.turned

    def at(self, chosen: NDArray[np.bool_]) -> PartScores:
        """Return the scores of some of the rows, `chosen` of shape `(N,)`."""
        turned = None if self.turned is None else self.turned[chosen]
        return PartScores(self.rows[chosen], self.targets[chosen], self.plain[chosen], turned)


@dataclass(frozen=True, eq=False)
class ModelScores:
    """The scores of one network on valid and test, columns in the order of `labels`."""

    labels: tuple[str, ...]
    valid: PartScores
    test: PartScores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays by name, for an npz file."""
        found: dict[str, NDArray[Any]] = {"labels": np.array(self.labels)}
        for name, part in zip(PARTS, (self.valid, self.test), strict=True):
            named: dict[str, Any] = {
                "rows": part.rows,
                "targets": part.targets,
                "plain": part.plain,
                "turned": part.turned,
            }
            found |= {f"{name}_{key}": array for key, array in named.items() if array is not None}
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ModelScores:
        """Make it of what `arrays` returned."""
        keys = ("rows", "targets", "plain", "turned")
        valid, test = (_part({key: arrays.get(f"{name}_{key}") for key in keys}) for name in PARTS)
        return cls(tuple(arrays["labels"].tolist()), valid, test)


def _part(arrays: Mapping[str, Any]) -> PartScores:
    return PartScores(**arrays)
