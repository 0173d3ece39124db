"""Paired comparison of two models on the same chips.

Two models' mean F2 scores rise and fall together from one draw of chips to the next, because a hard chip is
hard for both. Their difference is therefore known far more precisely than either mean, so the difference is
tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.1
"""Significance level: a difference with a smaller p counts as real. Fixed before anything is measured."""

_BOOTSTRAP_RESAMPLES = 1000
_SIGN_FLIPS = 4999
_BATCH = 250
"""Resamples drawn at a time: bounds the memory, 40 MB for 8,000 chips."""


class Comparison(NamedTuple):
    """Mean advantage per chip of one model over another.

    Attributes:
        difference: mean of first - second.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        p: two-sided p-value, 0 < p <= 1, of the sign-flip test: the probability of a mean at least as far
            from 0 if each chip favoured either model with equal probability.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def better(self) -> bool:
        """True if the first is significantly better."""
        return self.difference > 0 and self.p < ALPHA

    def __str__(self) -> str:
        """Format as `+0.0031, 95 % [-0.0002, +0.0064], p = 0.06`."""
        return f"{self.difference:+z.4f}, 95 % [{self.low:+z.4f}, {self.high:+z.4f}], {format_p(self.p)}"


class Lead(NamedTuple):
    """Advantage of the selected model over another candidate.

    Attributes:
        valid: on validation, which decides.
        test: on test, which is reported and decides nothing.
        smaller: True if the other is a network with fewer weights.
    """

    valid: Comparison
    test: Comparison
    smaller: bool = False

    def document(self) -> dict[str, Any]:
        """Return the lead for JSON."""
        return {"valid": self.valid._asdict(), "test": self.test._asdict(), "smaller": self.smaller}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Lead:
        """Read what `document` returned; that of an earlier version has no `smaller`."""
        valid, test = (Comparison(**document[split]) for split in ("valid", "test"))
        return cls(valid, test, bool(document.get("smaller")))


def lead(best: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]], seed: int) -> Lead:
    """Compare two evaluations by their arrays per chip.

    Args:
        best: `valid_f2` and `test_f2` of the same chips, and the number of `weights` of a single network.
        other: likewise.
        seed: seed of the comparisons.
    """
    valid, test = (compare(best[f"{split}_f2"], other[f"{split}_f2"], seed) for split in ("valid", "test"))
    sizes = [int(arrays["weights"]) for arrays in (other, best) if "weights" in arrays]
    return Lead(valid, test, smaller=len(sizes) == 2 and sizes[0] < sizes[1])


def smaller_equals(best: str, leads: Mapping[str, Lead]) -> str:
    """Return a sentence that names the smaller networks which `best` does not beat, or an empty text."""
    names = [name for name, its_lead in leads.items() if its_lead.smaller and not its_lead.valid.better]
    if not names:
        return ""
    return f"{best} is not significantly better on validation than a smaller network: {', '.join(names)}"


def compare(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Comparison:
    """Compare two series of per-chip scores; higher is better.

    The interval is a paired percentile bootstrap, p a paired permutation test (Fisher's sign flips), which is
    exact for up to 12 chips that differ. Swapping the arguments negates the result.

    Args:
        first: scores such as `f2_per_sample`, shape `(N,)`.
        second: scores of the same chips in the same order.
        seed: seed of the resampling; series of one length share their draws.

    Raises:
        ValueError: the shapes differ, or there are no chips.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"expected two series over the same chips, got shapes {one.shape} and {other.shape}")
    gains = one - other
    low, high = _interval(gains, seed)
    return Comparison(float(gains.mean()), low, high, _p_value(gains[gains != 0], seed))


def _interval(gains: NDArray[np.float64], seed: int) -> tuple[float, float]:
    if len(gains) == 1:  # scipy needs two observations; one chip resamples to itself
        return float(gains[0]), float(gains[0])
    from scipy.stats import bootstrap  # here, for importing it takes longer than most commands do

    result = bootstrap(
        (gains,),
        np.mean,
        n_resamples=_BOOTSTRAP_RESAMPLES,
        batch=_BATCH,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def _p_value(gains: NDArray[np.float64], seed: int) -> float:
    """Return the two-sided p of the sum of `gains` under random signs.

    Chips without a difference are left out: flipping a 0 changes no sum.
    """
    if len(gains) < 2:  # the sum is as far from 0 under either sign
        return 1.0
    from scipy.stats import permutation_test

    result = permutation_test(
        (gains,),
        _rounded_sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_SIGN_FLIPS,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _rounded_sum(gains: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    # Equal sums in another order differ in their last bits, which would break ties at random.
    total: NDArray[np.float64] = gains.sum(axis=axis).round(9)
    return total


def format_p(p: float) -> str:
    """Format a p-value for people: `p = 0.034`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
