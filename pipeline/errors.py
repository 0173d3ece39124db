"""Base of the package's errors, whose specific ones live beside the code that raises them, and Ctrl-C."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


class PipelineError(Exception):
    """Base of all errors that this package raises on purpose; the message states the remedy."""


class Interrupted(BaseException):
    """Ctrl-C: no KeyboardInterrupt, which Lightning would turn into an exit of its own."""
