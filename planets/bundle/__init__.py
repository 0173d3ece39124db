"""The bundle: a trained model with everything needed to use it."""

from planets.errors import PlanetsError


class BundleError(PlanetsError):
    """A bundle is incomplete, broken, or belongs to other labels or chips."""
