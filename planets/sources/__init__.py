"""Sources of chips: a local folder, Kaggle, or the synthetic sample."""

from planets.errors import PlanetsError


class SourceError(PlanetsError):
    """The data source (folder, Kaggle, sample) is unreachable or unusable."""


class BadDownload(SourceError):
    """A download differs from what the server announced in size or checksum, or is no zip archive."""
