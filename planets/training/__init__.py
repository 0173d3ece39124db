"""Training a network: data, augmentation, optimization, checkpoints."""

from planets.errors import PlanetsError


class TrainingError(PlanetsError):
    """A training cannot continue, cannot resume from its checkpoint, or its result is unusable."""
