"""The base of the domain library's errors; each specific error lives beside the code that raises it."""


class PlanetsError(Exception):
    """Base of all errors that this package raises on purpose; the message says what to do."""
