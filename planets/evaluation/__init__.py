"""Scoring trained networks, and fitting the decision."""

from planets.errors import PlanetsError


class EvaluationError(PlanetsError):
    """A network does not fit the chips or the labels that it is evaluated on."""
