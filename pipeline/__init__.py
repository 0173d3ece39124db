"""Runs the DAG: the controller, the local stack, the command line and the verdict."""

from planets.environment import prepare
from planets.redaction import redact_tracebacks

prepare()  # before ClearML is imported
redact_tracebacks()
