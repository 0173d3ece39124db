"""The ways a square fits itself, and the mean of the scores over them; numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TURNS = 8
"""The elements of the dihedral group; element 0 changes nothing."""


def turned(chips: NDArray[np.uint8], element: int) -> NDArray[np.uint8]:
    """Return square chips `(N, size, size, 3)`, all turned alike; the same as `augment.turn` for torch.

    Args:
        chips: left as they are.
        element: 0 to 7. 1 mirrors left and right, 2 mirrors up and down, 4 swaps rows and columns before.
    """
    made = chips.transpose(0, 2, 1, 3) if element & 4 else chips
    axes = tuple(axis for axis, bit in ((1, 2), (2, 1)) if element & bit)
    return np.ascontiguousarray(np.flip(made, axes))


def mean_of_turns(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of scores `(turns, N, L)` over the turns; of one turn, the scores themselves."""
    # In float64 the sum of a few float32 numbers is exact, so the order of the turns does not matter.
    mean: NDArray[np.float32] = scores.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
