"""`predict`, `submission`: the library's own commands, which work where it alone is installed."""

from planets.serving.cli import predict, submission

__all__ = ["predict", "submission"]
