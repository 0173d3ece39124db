"""Documents in the database: JSON objects with an id, read, changed and written whole."""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from server.errors import BadRequest, InvalidArgument

Document = dict[str, Any]

# The one user in the one company that the embedded server has.
COMPANY = "0e3bedded0000000000000000000c0de"
COMPANY_NAME = "embedded"
COMPANY_REFERENCE = {"id": COMPANY, "name": COMPANY_NAME}
PUBLIC = ""
"""The company of documents that belong to everybody."""
USER = "__user__"
USER_NAME = "user"
USER_REFERENCE = {"id": USER, "name": USER_NAME}
ROLE = "admin"

SHORTEST_NAME = 3
TABLES = frozenset({"projects", "tasks", "models", "queues", "workers"})


def new_id() -> str:
    """Return a new id of 32 hexadecimal digits, the API's format."""
    return uuid4().hex


def blank(now: str) -> Document:
    """Return the fields that every new document starts with."""
    return {
        "id": new_id(),
        "company": COMPANY,
        "user": USER,
        "created": now,
        "last_update": now,
        "tags": [],
        "system_tags": [],
    }


def dump(value: object) -> str:
    """Return JSON text; raises InvalidArgument for NaN and infinity, which JSON lacks."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise InvalidArgument("Validation error: a number is NaN or infinite") from error


def find(db: sqlite3.Connection, table: str, document_id: str) -> Document | None:
    """Return the document, or None if the table has none of this id."""
    row = db.execute(f"SELECT doc FROM {_known(table)} WHERE id = ?", (document_id,)).fetchone()
    return json.loads(row["doc"]) if row else None


def insert(db: sqlite3.Connection, table: str, document: Document) -> None:
    """Store a new document under its ``id``; raises sqlite3.IntegrityError if the id is taken."""
    db.execute(f"INSERT INTO {_known(table)} (id, doc) VALUES (?, ?)", (document["id"], dump(document)))


def save(db: sqlite3.Connection, table: str, document: Document) -> None:
    """Replace the document of the same ``id``."""
    db.execute(f"UPDATE {_known(table)} SET doc = ? WHERE id = ?", (dump(document), document["id"]))


def delete(db: sqlite3.Connection, table: str, document_id: str) -> bool:
    """Remove the document; False if there was none."""
    return db.execute(f"DELETE FROM {_known(table)} WHERE id = ?", (document_id,)).rowcount > 0


def where(
    db: sqlite3.Connection, table: str, condition: str, values: Iterable[object] = ()
) -> list[Document]:
    """Return the documents that meet ``condition``: SQL written in this package, never user text."""
    rows = db.execute(f"SELECT doc FROM {_known(table)} WHERE {condition}", tuple(values))
    return [json.loads(row["doc"]) for row in rows]


def named(db: sqlite3.Connection, table: str, name: str) -> Document | None:
    """Return the document of exactly this name, or None."""
    matches = where(db, table, "name = ?", (name,))
    return matches[0] if matches else None


def names(db: sqlite3.Connection, table: str, ids: Iterable[str]) -> dict[str, str]:
    """Map the ids that exist to their names."""
    wanted = json.dumps(sorted(set(ids)))
    sql = f"SELECT id, name FROM {_known(table)} WHERE id IN (SELECT value FROM json_each(?))"
    return {row["id"]: row["name"] for row in db.execute(sql, (wanted,))}


class UnknownReference(BadRequest, subcode=16):
    """A field names a document that does not exist."""


class InvalidName(BadRequest, subcode=800):
    """A name has fewer than SHORTEST_NAME characters, or holds NUL."""


def check_references(db: sqlite3.Connection, document: Document, tables: Mapping[str, str]) -> None:
    """Raise UnknownReference if one of the fields names no document of its table; empty is allowed."""
    for field, table in tables.items():
        value = document.get(field)
        if value and find(db, table, value) is None:
            raise UnknownReference(f"Invalid {field} id: no document of {table} has the id {value!r:.80}")


def check_name(document: Document) -> None:
    """Raise InvalidName if the document's name is too short or holds NUL; one without the field passes."""
    if "name" in document and len(document["name"].strip()) < SHORTEST_NAME:
        raise InvalidName(
            f"Value error: name {document['name']!r} is too short, it needs {SHORTEST_NAME} characters"
        )
    if "\0" in document.get("name", ""):  # SQL's text functions end there
        raise InvalidName(f"Value error: name {document['name']!r} contains a NUL character")


def has_system_tag(tag: str) -> str:
    """Return SQL that tests a document for a system tag, a word of this package."""
    return f"EXISTS (SELECT 1 FROM json_each(doc, '$.system_tags') WHERE value = '{tag}')"


ARCHIVED = has_system_tag("archived")
"""SQL that tests a document for being archived."""

IS_PUBLIC = f"(json_extract(doc, '$.company') = '{PUBLIC}')"
"""SQL that tests a document for being public."""


def dig(document: Document, path: str) -> Any:
    """Return the value at a dotted path, or None if there is none."""
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def project_fields(document: Document, fields: Iterable[str]) -> Document:
    """Return the document reduced to the dotted ``fields`` that it has."""
    chosen: Document = {}
    for field in fields:
        _copy(document, chosen, field.split("."))
    return chosen


def _copy(source: Document, target: Document, path: list[str]) -> None:
    key, rest = path[0], path[1:]
    if key not in source:
        return
    value = source[key]
    if not rest:
        target[key] = value
    elif isinstance(value, dict):
        inner = target.setdefault(key, {})
        if inner is not value:
            _copy(value, inner, rest)
    elif isinstance(value, list):
        _copy_items(value, target, key, rest)


def _copy_items(source: list[Any], target: Document, key: str, path: list[str]) -> None:
    kept = target.setdefault(key, [{} for _ in source])
    if kept is source:
        return
    for item, chosen in zip(source, kept, strict=True):
        if isinstance(item, dict):
            _copy(item, chosen, path)


def _known(table: str) -> str:
    if table not in TABLES:
        raise KeyError(table)
    return table


def now() -> str:
    """Return the current time as the API writes it: ISO 8601 in UTC with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def seconds_between(start: str, end: str) -> int:
    """Return the whole seconds from ``start`` to ``end``, never negative."""
    return max(0, int((parse_time(end) - parse_time(start)).total_seconds()))


def seconds_before(moment: str, seconds: float) -> str:
    """Return the timestamp of ``seconds`` before ``moment``."""
    return (parse_time(moment) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def parse_time(timestamp: str) -> datetime:
    """Parse an ISO 8601 timestamp, in UTC if it has no zone; raises ValueError for anything else."""
    moment = datetime.fromisoformat(timestamp)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def milliseconds() -> int:
    """Return the current time in milliseconds since the epoch, the format of events."""
    return int(time.time() * 1000)
