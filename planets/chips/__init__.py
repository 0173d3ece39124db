"""Chips as pixels: decoding, the store, and reading them in order."""

from planets.errors import PlanetsError

Channels = tuple[float, float, float]
"""A number for each of red, green and blue, such as their mean on a scale of 0 to 1."""


class ArchiveError(PlanetsError):
    """A folder of chips, or a chip in it, is unusable; the message names file, line and value."""
