"""Evaluation settings, and the reserved name of the ensemble."""

from typing import Literal

from pydantic import Field

from planets.config import Settings

ENSEMBLE = "ensemble"
"""Name of the candidate that averages all trained models."""

Refinement = Literal["auto", "always", "never"]
"""`auto` keeps a refinement only if it improves F2 on validation chips that it was not fitted on."""


class EvaluationSettings(Settings):
    """Refinements of the predictions of trained models, and the ensemble."""

    tta: Refinement = Field(
        description="test-time augmentation: average the scores of the 8 flips and rotations of a chip, "
        "at 8 times the cost"
    )
    calibration: Refinement = Field(description="Platt scaling of each label's scores to probabilities")
    decoding: Refinement = Field(description="expected-F2 decoding instead of thresholds")
    weather_rule: Refinement = Field(
        description="keep exactly one weather label per chip, and `cloudy` without any other label"
    )
    ensemble: bool = Field(description="evaluate the average of all trained models as another candidate")
