"""Settings: pydantic models of `configs/`, every key described."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from planets.errors import PlanetsError

Fraction = Annotated[float, Field(ge=0, lt=1)]


class ConfigError(PlanetsError):
    """A setting is unknown, ill-typed or contradicts another; the message names file and key."""


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values are immutable and finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
