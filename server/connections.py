"""Connections: each ends if its client stalls, so that slow or silent clients cannot use the server up."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

SLOWEST = 1024
"""Bytes per second below which a request counts as stalled, even if some of it keeps arriving."""


class Connection(H11Protocol):
    """One connection, which is cut if its client lets the server wait for longer than ``patience``.

    That is: no byte of an incomplete request arrives, or no byte of the response is taken, for ``patience``
    seconds; or a request arrives, on average, more slowly than SLOWEST after the first ``patience`` seconds.
    Time in which the server itself works does not count.
    """

    patience: ClassVar[float] = 60.0
    _received = 0
    _waited = 0.0
    _progress = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to watch the client."""
        super().connection_made(transport)
        self._progress = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to watch it."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note that some of the request arrived."""
        self._received += len(data)
        self._progress = self.loop.time()
        super().data_received(data)

    def resume_writing(self) -> None:
        """Note that some of the response was taken."""
        self._progress = self.loop.time()
        super().resume_writing()

    def _watch(self) -> None:
        interval = self.patience / 8
        self._timer = self.loop.call_later(interval, self._watch)
        receives = not self.flow.read_paused and (self.cycle is None or self.cycle.more_body)
        sends = self.flow.write_paused or self.transport.is_closing()
        if not receives and not sends:
            self._progress = self.loop.time()
        self._waited += interval if receives else 0
        silent = self.loop.time() - self._progress > self.patience
        slow = self._waited > self.patience + self._received / SLOWEST
        if silent or slow:
            self.transport.abort()


def connection(patience: float) -> type[Connection]:
    """Return the class of connections that wait ``patience`` seconds for their clients."""
    return type("PatientConnection", (Connection,), {"patience": patience})
