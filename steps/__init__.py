"""One ClearML task function per stage of the pipeline: ids and numbers in, ids and numbers out."""

from planets.environment import prepare
from planets.redaction import redact_tracebacks

prepare()  # before ClearML is imported
redact_tracebacks()
