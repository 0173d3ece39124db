"""One SQLite file: one writer behind a lock, readers on their own connections."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.errors import ApiError, InvalidArgument, InvalidRegex, StartError, Unavailable
from server.migrations import migrate, migrations
from server.patterns import SECONDS, Patterns

log = logging.getLogger("server")

BUSY_SECONDS = 5.0

# What SQLite says when the place fails and not the statement: it may well work a minute later.
PLACE_FAILS = {
    sqlite3.SQLITE_FULL: "no space is left for the database",
    sqlite3.SQLITE_BUSY: "another program has locked the database",
    sqlite3.SQLITE_READONLY: "the database has become read-only",
    sqlite3.SQLITE_IOERR: "the database cannot be read or written",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
}

# What it says when a client's filters ask for too much, and what the client is told. REGEXP is the only
# function of ours.
TOO_MUCH = {
    "user-defined function raised": (InvalidRegex, f"The regular expression takes more than {SECONDS:.0f} s"),
    "Expression tree is too large": (
        InvalidArgument,
        "Validation error: too many conditions, the database takes about 1000",
    ),
    "too many SQL variables": (InvalidArgument, "Validation error: too many values"),
}


class Database:
    """Transactions over ``path``; raises StartError for a file that is none of ours.

    ``synchronous=NORMAL`` in WAL mode: a commit is handed to the operating system before the call is
    answered, so ``kill -9`` loses nothing that was acknowledged. A power cut may lose the last moments
    but cannot corrupt the file; FULL would add an fsync (1 to 10 ms) to each of the thousands of calls
    that a training makes.
    """

    def __init__(self, path: Path, changes: tuple[str, ...] | None = None) -> None:
        """Open or make the file at ``path`` and bring it to today's schema, or to that of ``changes``."""
        self._path = path
        self._lock = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._patterns = Patterns()
        self._trouble: str | None = None
        try:
            self._writer = self._connect()
            migrate(self._writer, migrations() if changes is None else changes)
            self._writer.execute("BEGIN IMMEDIATE")  # better to hear now than at the first call
            self._writer.execute("ROLLBACK")
        except (sqlite3.Error, StartError) as error:
            raise StartError(f"cannot open the database {path}: {_reason(error)}") from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that commits on leaving, and leaves no trace if the block raises.

        Raises Unavailable, and changes nothing, while the disk is full or the file is locked.
        """
        with self._lock, self._watched():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                # After some errors SQLite has rolled back by itself, after others it has not.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
            if self._trouble:
                log.warning("%s: works again", self._path)
                self._trouble = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent snapshot on this thread's own connection; raises Unavailable as ``write`` does."""
        with self._watched():
            connection = self._reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Merge the log into the file; no call may be running any more."""
        for reader in self._readers:
            reader.close()
        with self._lock:
            self._writer.execute("PRAGMA optimize")
            self._writer.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Turn the failures of the place into Unavailable; the log hears of each kind once.

        Raises InvalidRegex or InvalidArgument for filters that ask for too much.
        """
        self._patterns.begin()
        try:
            yield
        except sqlite3.OperationalError as error:
            trouble = PLACE_FAILS.get(error.sqlite_errorcode & 0xFF)
            if trouble is None:
                refusal = _too_much(error)
                if refusal is None:
                    raise
                raise refusal from error
            if trouble != self._trouble:
                log.error("%s: %s (%s)", self._path, trouble, error.sqlite_errorname)
                self._trouble = trouble
            raise Unavailable(f"The server cannot store or read anything now: {trouble}") from error

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._readers.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.create_function("regexp", 2, self._patterns.matches, deterministic=True)
        return connection


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    return PLACE_FAILS.get(code & 0xFF, str(error)) if code is not None else str(error)


def _too_much(error: sqlite3.OperationalError) -> ApiError | None:
    for beginning, (kind, message) in TOO_MUCH.items():
        if str(error).startswith(beginning):
            return kind(message)
    return None
