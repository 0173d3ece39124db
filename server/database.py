"""One SQLite file: one writer behind a lock, readers on their own connections."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path

import regex

from server.errors import ApiError, BadRequest, InvalidArgument, StartError

log = logging.getLogger("server")

BUSY_SECONDS = 5.0
LONGEST_PATTERN = 10_000
REGEXP_SECONDS = 2.0

INCREMENTAL = 2
VACUUMED_PAGES = 1000
FREE_PAGES = 1000
"""Pages of 4 kB that stay in the file for later writes."""

LARGEST_CONVERTED = 256 * 2**20
"""In bytes: rewriting more would delay the start by more than seconds."""

LARGEST_LOG = 16 * 2**20
"""In bytes: the write-ahead log is cut back to it."""

# SQLite's errors of the storage rather than of the statement: a retry may well succeed.
STORAGE_FAILURES = {
    sqlite3.SQLITE_FULL: "no space is left for the database",
    sqlite3.SQLITE_BUSY: "another program has locked the database",
    sqlite3.SQLITE_READONLY: "the database has become read-only",
    sqlite3.SQLITE_IOERR: "the database cannot be read or written",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened",
}


class InvalidRegex(BadRequest, subcode=21):
    """A pattern is not a regular expression, or takes too long to match."""


class Unavailable(ApiError, code=503):
    """The disk is full or the database locked; on 503, SDK and agents wait and retry."""


class Database:
    """Transactions over one SQLite file.

    ``synchronous=NORMAL`` in WAL mode: a commit is handed to the operating system before the call is
    answered, so ``kill -9`` loses nothing that was acknowledged. A power cut may lose the last moments
    but cannot corrupt the file; FULL would add an fsync (1 to 10 ms) to each of the thousands of calls
    that a training makes.
    """

    def __init__(self, path: Path, changes: tuple[str, ...] | None = None) -> None:
        """Open or create the file and migrate it to the newest schema, or to that of ``changes``.

        Raises:
            StartError: The file cannot be used, or a newer server wrote it.
        """
        self._path = path
        self._lock = Turns()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._patterns = Patterns()
        self._trouble: str | None = None
        try:
            self._writer = self._connect()
            self._prepare_to_shrink()
            migrate(self._writer, migrations() if changes is None else changes)
            self._writer.execute("BEGIN IMMEDIATE")  # fail now rather than at the first call
            self._writer.execute("ROLLBACK")
        except (sqlite3.Error, StartError) as error:
            raise StartError(f"cannot open the database {path}: {_reason(error)}") from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that commits on leaving and rolls back if the block raises.

        Raises:
            Unavailable: The disk is full or the file locked; nothing has changed.
        """
        with self._lock, self._watched():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                # After some errors, such as a full disk, SQLite has rolled back already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
            if self._trouble:
                log.warning("%s: works again", self._path)
                self._trouble = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open a consistent snapshot on this thread's connection; raises Unavailable as ``write`` does."""
        with self._watched():
            connection = self._reader()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                # After some errors, such as a full disk, SQLite has rolled back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def shrink(self) -> None:
        """Give the space of deleted rows back to the disk, in slices between which other writers run."""
        with contextlib.suppress(Unavailable):  # logged; the space is used again all the same
            while self._shrink_some():
                pass

    def close(self) -> None:
        """Close all connections, which merges the write-ahead log; no transaction may be open."""
        for reader in self._readers:
            reader.close()
        with self._lock:
            self._writer.execute("PRAGMA optimize")
            self._writer.close()

    def _prepare_to_shrink(self) -> None:
        if self._pragma("auto_vacuum") == INCREMENTAL:
            return
        if self._path.stat().st_size > LARGEST_CONVERTED:
            log.warning(
                "%s does not shrink after deletions; to change that, stop the server and run"
                " sqlite3 on it with: PRAGMA auto_vacuum = 2; VACUUM;",
                self._path,
            )
            return
        # An older database is rewritten once; a new one is empty.
        self._writer.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        try:
            self._writer.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                raise
            log.warning(
                "%s does not shrink after deletions; to change that, free space on its disk for a copy of it"
                " and restart the server",
                self._path,
            )

    def _shrink_some(self) -> bool:
        """Return True if there is more to do."""
        with self._lock, self._watched():
            if self._pragma("auto_vacuum") != INCREMENTAL:
                return False
            excess = self._pragma("freelist_count") - FREE_PAGES
            if excess <= 0:
                return False
            # execute() would stop after the first page.
            self._writer.executescript(f"PRAGMA incremental_vacuum({min(excess, VACUUMED_PAGES)})")
            if excess <= VACUUMED_PAGES:
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")  # which truncates the file
            return excess > VACUUMED_PAGES

    def _pragma(self, name: str) -> int:
        return int(self._writer.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Translate SQLite's errors; each kind of storage failure is logged once.

        Raises:
            Unavailable: The storage fails.
            InvalidRegex: A pattern takes too long.
            InvalidArgument: The filters have too many conditions or values.
        """
        self._patterns.begin()
        try:
            yield
        except sqlite3.OperationalError as error:
            trouble = STORAGE_FAILURES.get(error.sqlite_errorcode & 0xFF)
            if trouble is None:
                refusal = _excessive(error)
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
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")
        connection.create_function("regexp", 2, self._patterns.matches, deterministic=True)
        return connection


class Turns:
    """A lock taken in the order of asking.

    A plain lock would often go back to the thread that has just released it: one that deletes slice after
    slice would keep all others waiting.
    """

    def __init__(self) -> None:
        """Start free."""
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    def __enter__(self) -> None:
        """Wait for the turn."""
        with self._mutex:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        """Pass the lock to the one that waits longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    return STORAGE_FAILURES.get(code & 0xFF, str(error)) if code is not None else str(error)


# The start of SQLite's message when a client's filters ask for too much, and the client's error. REGEXP is
# the only user-defined function.
EXCESSIVE = {
    "user-defined function raised": (
        InvalidRegex,
        f"The regular expression takes more than {REGEXP_SECONDS:.0f} s",
    ),
    "Expression tree is too large": (
        InvalidArgument,
        "Validation error: too many conditions, the database takes about 1000",
    ),
    "too many SQL variables": (InvalidArgument, "Validation error: too many values"),
}


def _excessive(error: sqlite3.OperationalError) -> ApiError | None:
    for beginning, (kind, message) in EXCESSIVE.items():
        if str(error).startswith(beginning):
            return kind(message)
    return None


class Patterns(threading.local):
    """SQL's REGEXP; the matches of one transaction share REGEXP_SECONDS.

    Some patterns, such as ``(a|a)+$``, take exponential time on some texts. The standard library's ``re``
    cannot be stopped and blocks all other threads; the ``regex`` package takes a time limit and releases the
    GIL.
    """

    _left = REGEXP_SECONDS

    def begin(self) -> None:
        """Start a transaction with the whole time."""
        self._left = REGEXP_SECONDS

    def matches(self, pattern: str, value: object) -> bool:
        """Search for the pattern in ``value``; raises TimeoutError once the time is spent."""
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
    """Compile a client's pattern; raises InvalidRegex."""
    if len(pattern) > LONGEST_PATTERN:
        raise InvalidRegex(f"Regular expression of {len(pattern)} characters: {LONGEST_PATTERN} are allowed")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise InvalidRegex(f"Invalid regular expression {pattern!r:.80}: {error}") from error


def migrations() -> tuple[str, ...]:
    """Return the SQL of all migrations in order.

    A released migration is never edited; the next change is a new ``migrations/<number>.sql``.
    """
    folder = resources.files("server") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(file.read_text(encoding="utf-8") for file in files)


def migrate(connection: sqlite3.Connection, changes: tuple[str, ...]) -> None:
    """Migrate the database to the newest schema.

    Each migration and its number are one transaction: one that fails or is killed leaves the schema of its
    predecessor.

    Raises:
        StartError: A newer server wrote the database.
    """
    applied = version(connection)
    if applied > len(changes):
        raise StartError(
            f"a newer server wrote it (schema {applied}); this one knows schemas up to {len(changes)}"
        )
    for number, sql in enumerate(changes[applied:], start=applied + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\n;PRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def version(connection: sqlite3.Connection) -> int:
    """Return the number of migrations applied to the database; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
