"""The regular expressions of the clients, which must not be able to hold up the server.

Some patterns take exponential time on some texts, such as ``(a|a)+$``. The standard library's ``re`` cannot
be stopped and keeps every other thread waiting meanwhile; the ``regex`` package can be given a limit and lets
the others work.
"""

import threading
import time
from functools import lru_cache

import regex

from server.errors import InvalidRegex

LONGEST = 10_000
SECONDS = 2.0


class Patterns(threading.local):
    """SQL's REGEXP: the matches of a transaction, which is a thread's own, take at most SECONDS together."""

    def __init__(self) -> None:
        """In each thread that comes, nothing is spent yet."""
        self._left = SECONDS

    def begin(self) -> None:
        """A new transaction may spend the whole time again."""
        self._left = SECONDS

    def matches(self, pattern: str, value: object) -> bool:
        """Whether it is found in ``value``; raises TimeoutError when the time is spent."""
        if not isinstance(value, str):
            return False
        if self._left <= 0:
            raise TimeoutError
        began = time.perf_counter()
        try:
            return compiled(pattern).search(value, concurrent=True, timeout=self._left) is not None
        finally:
            self._left -= time.perf_counter() - began


@lru_cache(maxsize=256)
def compiled(pattern: str) -> regex.Pattern[str]:
    """The pattern, ready to be used; raises InvalidRegex."""
    if len(pattern) > LONGEST:
        raise InvalidRegex(f"Regular expression of {len(pattern)} characters: {LONGEST} are allowed")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise InvalidRegex(f"Invalid regular expression {pattern!r:.80}: {error}") from error
