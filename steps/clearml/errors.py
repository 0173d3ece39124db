"""The base of the errors that steps raise on purpose; the specific ones live beside what raises them."""


class StepError(Exception):
    """Base of all errors that a step raises on purpose."""
