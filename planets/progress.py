"""Progress as lines of a console: few enough to be kept for ever."""

import time
from collections.abc import Callable

from planets.disk import megabytes

Say = Callable[[str], None]
"""Takes a line for a person, as `print` does."""

SECONDS = 5.0
"""No two lines come sooner after each other, but for the last."""


class Lines:
    """Says how many bytes of how many are done: at most one line in 5 seconds and one a percent."""

    def __init__(self, what: str, total: int | None, say: Say) -> None:
        """`what` begins each line; `total` is None while nobody knows it."""
        self._what, self._total, self._say = what, total, say
        self._begun = self._said = time.monotonic()
        self._first: int | None = None
        self._percent = -1

    def __call__(self, done: int) -> None:
        """Be told that `done` bytes are done, those of an earlier try included."""
        if self._first is None:
            self._first = done
        percent = 100 * done // self._total if self._total else self._percent + 1
        now = time.monotonic()
        if done != self._total and (now - self._said < SECONDS or percent <= self._percent):
            return
        self._said, self._percent = now, percent
        speed = megabytes(int((done - self._first) / max(now - self._begun, 1e-3)))
        share = f" of {megabytes(self._total)} ({percent} %)" if self._total else ""
        self._say(f"{self._what}: {megabytes(done)}{share}, {speed}/s")
