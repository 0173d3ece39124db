"""Settings: pydantic models of `configs/`, every key described."""

from planets.errors import PlanetsError


class ConfigError(PlanetsError):
    """A setting is unknown, ill-typed or contradicts another; the message names file and key."""
