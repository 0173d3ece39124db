"""Base of the package's errors; the specific ones live beside the code that raises them."""


class PipelineError(Exception):
    """Base of all errors that this package raises on purpose; the message states the remedy."""
