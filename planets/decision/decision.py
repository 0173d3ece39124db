"""The decision that turns the scores of one or more networks into tags: everything fitted after training.

It is fitted once, saved in the bundle, and applied unchanged by the evaluation and by every server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from planets.decision.thresholds import apply_thresholds
from planets.labels import Group, apply_groups


class Decision(BaseModel):
    """Averages the scores of the networks, and turns the mean into tags."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    labels: tuple[str, ...] = Field(min_length=1, description="labels of the columns, in their order")
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        min_length=1, description="ensemble weight of each network in the mean of the scores; they sum to 1"
    )
    tta: bool = Field(description="average the scores over the 8 dihedral views of a chip")
    thresholds: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="a label is predicted at a probability >= its threshold"
    )
    groups: tuple[Group, ...] = Field(
        description="predict exactly one label of each, and no other label beside one that stands alone"
    )

    @model_validator(mode="after")
    def _fits_the_labels(self) -> Self:
        count = len(self.labels)
        if len(set(self.labels)) != count:
            raise ValueError(f"{count} distinct labels are needed")
        if len(self.thresholds) != count:
            raise ValueError(f"{count} distinct labels need as many thresholds")
        for group in self.groups:
            if not {*group.labels} <= {*self.labels}:
                raise ValueError(f"the {group.name} rule needs the labels {', '.join(group.labels)}")
        if abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares must add up to 1, not {sum(self.shares)}")
        return self

    def probabilities(self, scores: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the probabilities of the labels, float32 `(N, L)`.

        Args:
            scores: scores of each network, in the order of `shares`, each of shape `(N, L)`, 0 to 1.
        """
        return mix(scores, self.shares)

    def predict(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the 0/1 predictions, uint8 `(N, L)`, for the result of `probabilities`."""
        predictions = apply_thresholds(probabilities, self.thresholds)
        return apply_groups(predictions, probabilities, self.labels, self.groups)


def mix(scores: Sequence[NDArray[np.float32]], shares: Sequence[float]) -> NDArray[np.float32]:
    """Return the weighted mean of scores, float32 `(N, L)`; a single network's scores stay bit for bit."""
    weighted = [share * array.astype(np.float64) for share, array in zip(shares, scores, strict=True)]
    total: NDArray[np.float64] = np.sum(weighted, axis=0)
    # Weights may sum to slightly more than 1 in floating point.
    return total.astype(np.float32).clip(0, 1)
