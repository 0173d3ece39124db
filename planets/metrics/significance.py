"""Whether one set of predictions is better than another, judged chip by chip on the same chips.

The mean F2 of two models moves together from one draw of chips to the next: a chip that is hard is hard for
both. So the difference is known far better than either mean, and is what is compared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MARGIN = 0.1
"""A difference counts as real below this p: the rule that is fixed before anything is measured."""

_RESAMPLES = 1000
_FLIPS = 4999
_BLOCK = 500


class Comparison(NamedTuple):
    """How much better the first of two is than the second, per chip.

    Attributes:
        difference: mean of first - second.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        p: two-sided, 0 < p <= 1: how often a difference as large arises when it is chance, chip by chip,
            which of the two is the better one.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def better(self) -> bool:
        """Whether the first is better by more than chance explains."""
        return self.difference > 0 and self.p < MARGIN

    def __str__(self) -> str:
        """As in `+0.0031, 95 % [-0.0002, +0.0064], p = 0.06`."""
        return f"{self.difference:+.4f}, 95 % [{self.low:+.4f}, {self.high:+.4f}], {said(self.p)}"


def compare(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Comparison:
    """Compare two series of values, one for each of the same chips; more is better.

    The interval is by the paired bootstrap (chips drawn with replacement), p by flipping the signs of the
    differences at random (Fisher's randomisation test). Exchanged arguments give the opposite.

    Args:
        first: such as `f2_per_sample`, shape `(N,)`.
        second: of the same chips in the same order.
        seed: of the draws; the same draws for any two series of one length.

    Raises:
        ValueError: the shapes differ, or there are no chips.
    """
    one, other = _paired(first, second)
    gains = one - other
    random = np.random.default_rng(seed)
    count = len(gains)
    means = [gains[random.integers(0, count, count)].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Comparison(float(gains.mean()), float(low), float(high), _chance(gains[gains != 0], random))


def _chance(gains: NDArray[np.float64], random: np.random.Generator) -> float:
    """Return the two-sided p of the sum of `gains` under random signs; 1 where there are none."""
    if not len(gains):
        return 1.0
    # Sums that are equal but for rounding count as equal.
    seen = abs(gains.sum()) - 1e-9
    extreme = 0
    for start in range(0, _FLIPS, _BLOCK):
        shape = min(_BLOCK, _FLIPS - start), len(gains)
        signs = random.integers(0, 2, shape, dtype=np.int8) * np.int8(2) - np.int8(1)
        extreme += int((np.abs(signs @ gains) >= seen).sum())
    return (1 + extreme) / (1 + _FLIPS)


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"two series of the same chips are needed, not {one.shape} and {other.shape}")
    return one, other


def said(p: float) -> str:
    """Return p as it is read: `p = 0.034`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
