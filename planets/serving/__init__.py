"""Using a bundle: predictions for a folder, a submission, the command line."""

from planets.errors import PlanetsError


class PredictionError(PlanetsError):
    """Predictions cannot be computed or written: bad options, paths, or state of a folder."""
