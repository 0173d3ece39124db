"""Secrets stay out of messages and tracebacks: a second wall behind code that does not quote them."""

import os
import re
import sys
from collections.abc import Mapping
from types import TracebackType

SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|WEBHOOK|_KEY$|_KEY_ID$")
"""Names of environment variables whose values are secret."""

SHORTEST = 8
"""Characters that a value needs to be replaced; shorter ones occur in ordinary text."""

_USER = re.compile(r"(?<=://)[^/\s@]+@")


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace the values of secret variables, and the user and password of URLs, by three asterisks."""
    values = {value.strip() for name, value in environment.items() if SECRET_NAMES.search(name.upper())}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return _USER.sub("***@", text)


def redact_tracebacks() -> None:
    """Redact the messages of exceptions that end the process, before they are printed."""
    printing = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _redact_chain(error)
        printing(kind, error, trace)

    sys.excepthook = hook


def _redact_chain(error: BaseException | None) -> None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(redact(part) if isinstance(part, str) else part for part in error.args)
        error = error.__cause__ or error.__context__
