"""The settings of the evaluations, and the name of the candidate that all models are together."""

from typing import Literal

from pydantic import Field

from planets.config.base import Settings

ENSEMBLE = "ensemble"
"""The trained models together, as a candidate beside them."""

Refinement = Literal["auto", "always", "never"]
"""`auto`: kept if it helps on chips that it was not fitted on, and dropped if not."""


class EvaluationSettings(Settings):
    """What may improve the predictions of trained models, and whether they are averaged."""

    tta: Refinement = Field(description="scores as the mean over the 8 turns of a chip; 8 times the work")
    calibration: Refinement = Field(description="scores made probabilities, by Platt scaling of each label")
    decoding: Refinement = Field(description="the set of greatest expected F2 in place of thresholds")
    weather_rule: Refinement = Field(description="exactly one weather, cloudy alone")
    ensemble: bool = Field(description="the trained models together are one more candidate")
