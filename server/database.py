"""One SQLite file: one writer behind a lock, readers on their own connections."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path

from server.errors import StartError

SCHEMA_VERSION = 1


class Database:
    """Transactions over ``path``; raises StartError for a file that is none of ours.

    ``synchronous=NORMAL`` in WAL mode: a commit is handed to the operating system before the call is
    answered, so ``kill -9`` loses nothing that was acknowledged. A power cut may lose the last moments
    but cannot corrupt the file; FULL would add an fsync (1 to 10 ms) to each of the thousands of calls
    that a training makes.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file at ``path`` and bring it to today's schema."""
        self._path = path
        self._lock = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        try:
            self._writer = self._connect()
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise StartError(f"cannot open the database {path}: {error}") from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that commits on leaving, and leaves no trace if the block raises."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent snapshot on this thread's own connection."""
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

    def _prepare(self) -> None:
        (found,) = self._writer.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA_VERSION:
            raise StartError(f"the database {self._path} was written by a newer server (schema {found})")
        self._writer.executescript(
            resources.files("server").joinpath("schema.sql").read_text(encoding="utf-8")
        )
        self._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._readers.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.create_function("regexp", 2, _matches, deterministic=True)
        return connection


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and _compiled(pattern).search(value) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
