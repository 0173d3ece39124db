"""Queues as documents, and the workers that serve them."""

import sqlite3

from server import documents, identity
from server.documents import Document
from server.errors import InvalidArgument, InvalidQueue, NoDefaultQueue
from server.query import Collection
from server.stores import queue_entries as entries

QUEUES = Collection(
    table="queues",
    answer="queues",
    columns={"id": "id", "name": "name"},
    values=frozenset(),
    dates=frozenset({"created", "last_update"}),
)

DEFAULT_TAG = "default"


def load_queue(db: sqlite3.Connection, queue_id: str) -> Document:
    """Return the queue; raises InvalidQueue for an unknown id, such as a name."""
    queue = documents.find(db, "queues", queue_id)
    if queue is None:
        raise InvalidQueue(f"Invalid queue id: id={queue_id}, company={identity.COMPANY}")
    return queue


def named(db: sqlite3.Connection, name: str) -> Document | None:
    """Return the queue of exactly this name, or None."""
    matches = documents.where(db, "queues", "name = ?", (name,))
    return matches[0] if matches else None


def ensure_queue(db: sqlite3.Connection, name: str, now: str, system_tags: tuple[str, ...] = ()) -> Document:
    """Return the queue of that name, created if it does not exist."""
    existing = named(db, name)
    if existing:
        return existing
    if not name.strip():
        raise InvalidArgument("Validation error: a queue needs a name")
    queue: Document = {
        "id": documents.new_id(),
        "name": name,
        "company": identity.COMPANY,
        "user": identity.USER,
        "created": now,
        "tags": [],
        "system_tags": list(system_tags),
        "last_update": now,
        "metadata": {},
    }
    documents.insert(db, "queues", queue)
    return queue


def default_queue(db: sqlite3.Connection) -> Document:
    """Return the queue for tasks that are enqueued without naming one."""
    tagged_queues = documents.where(db, "queues", documents.has_system_tag(DEFAULT_TAG))
    if not tagged_queues:
        raise NoDefaultQueue("No queue is tagged as the default queue for this company")
    return tagged_queues[0]


def touch_queue(db: sqlite3.Connection, queue: Document | None, now: str) -> None:
    """Mark the queue as updated and save it; None is ignored."""
    if queue:
        documents.save(db, "queues", {**queue, "last_update": now})


def with_entries(db: sqlite3.Connection, queue: Document, limit: int = -1) -> Document:
    """Return the queue as the API shows it, with the first ``limit`` of its entries."""
    return {**queue, "entries": entries.entries_of(db, queue["id"], limit)}


def watchers(db: sqlite3.Connection, queue: str) -> list[Document]:
    """Return the living workers that serve the queue."""
    serving = "EXISTS (SELECT 1 FROM json_each(doc, '$.queues') WHERE value = ?)"
    return [worker for worker in documents.where(db, "workers", serving, (queue,)) if is_alive(worker)]


def is_watched(db: sqlite3.Connection, queue: str) -> bool:
    """Return True if a living worker serves the queue."""
    return bool(watchers(db, queue))


def is_alive(worker: Document) -> bool:
    """Return True if the worker reported within its own timeout (seconds)."""
    timeout: int = worker["timeout"]
    return documents.seconds_between(worker["last_activity_time"], documents.now()) <= timeout
