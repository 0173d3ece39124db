"""The schema, as the ordered list of changes that made it.

A database says in its ``user_version`` how many of them it has seen. A change that has been released is never
edited: the next one comes after it, as ``migrations/<number>.sql``.
"""

import sqlite3
from importlib import resources

from server.errors import StartError


def migrations() -> tuple[str, ...]:
    """The SQL of every migration, the first one first."""
    folder = resources.files("server") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(file.read_text(encoding="utf-8") for file in files)


def migrate(connection: sqlite3.Connection, changes: tuple[str, ...]) -> None:
    """Bring the database to the newest schema; raises StartError for one that a newer server wrote.

    Each change and its number are one transaction: a change that fails, or a server that is killed in the
    middle of one, leaves the schema of the change before.
    """
    found = version(connection)
    if found > len(changes):
        raise StartError(
            f"a newer server wrote it (schema {found}); this one knows schemas up to {len(changes)}"
        )
    for number, sql in enumerate(changes[found:], start=found + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\n;PRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def version(connection: sqlite3.Connection) -> int:
    """How many migrations the database has seen; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
