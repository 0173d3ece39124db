"""Chips as pixels: decoding, the store, and reading them in order."""

from planets.errors import PlanetsError


class ArchiveError(PlanetsError):
    """A folder of chips, or a chip in it, is unusable; the message names file, line and value."""
