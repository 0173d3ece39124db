"""Queues: their documents, the tasks waiting in them in order, and the workers that serve them."""

import sqlite3

from server import documents
from server.documents import Document
from server.errors import BadRequest, InvalidArgument
from server.query import Collection

QUEUES = Collection(
    table="queues",
    answer="queues",
    columns={"id": "id", "name": "name"},
    values=frozenset(),
    dates=frozenset({"created", "last_update"}),
)

DEFAULT_TAG = "default"


class InvalidQueue(BadRequest, subcode=701):
    """No queue has this id."""


class NoDefaultQueue(BadRequest, subcode=707):
    """The call names no queue, and there is no default queue."""


class TaskNotQueued(BadRequest, subcode=703):
    """The task is not in the queue."""


class TaskAlreadyQueued(BadRequest, subcode=706):
    """The task is in a queue already."""


def load_queue(db: sqlite3.Connection, queue_id: str) -> Document:
    """Return the queue; raises InvalidQueue for an unknown id, such as a name."""
    queue = documents.find(db, "queues", queue_id)
    if queue is None:
        raise InvalidQueue(f"Invalid queue id: id={queue_id}, company={documents.COMPANY}")
    return queue


def ensure_queue(db: sqlite3.Connection, name: str, now: str, system_tags: tuple[str, ...] = ()) -> Document:
    """Return the queue of that name, created if it does not exist."""
    existing = documents.named(db, "queues", name)
    if existing:
        return existing
    check_queue_name(name)
    queue = documents.blank(now) | {"name": name, "system_tags": list(system_tags), "metadata": {}}
    documents.insert(db, "queues", queue)
    return queue


def check_queue_name(name: str) -> None:
    """Raise InvalidArgument for a blank name or one with NUL, where SQL's text functions end."""
    if not name.strip() or "\0" in name:
        raise InvalidArgument(f"Validation error: a queue needs a name without NUL, not {name!r:.200}")


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
    return {**queue, "entries": entries_of(db, queue["id"], limit)}


def push(db: sqlite3.Connection, queue: str, task: str, now: str) -> None:
    """Append the task to the queue; raises TaskAlreadyQueued if it is in any queue."""
    taken = db.execute("SELECT queue FROM entries WHERE task = ?", (task,)).fetchone()
    if taken:
        raise TaskAlreadyQueued(f"Task already queued: task={task}, queue={taken['queue']}")
    _insert(db, queue, task, "coalesce(max(position), 0) + 1", now)


def push_front(db: sqlite3.Connection, queue: str, task: str, now: str) -> None:
    """Insert the task at the front of the queue."""
    _insert(db, queue, task, "coalesce(min(position), 0) - 1", now)


def pop(db: sqlite3.Connection, queue: str) -> Document | None:
    """Remove and return the first entry of the queue, or None if it is empty."""
    waiting = entries_of(db, queue, limit=1)
    if not waiting:
        return None
    remove(db, waiting[0]["task"])
    return waiting[0]


def remove(db: sqlite3.Connection, task: str) -> bool:
    """Remove the task from its queue; False if it is in none."""
    return db.execute("DELETE FROM entries WHERE task = ?", (task,)).rowcount > 0


def entries_of(db: sqlite3.Connection, queue: str, limit: int = -1) -> list[Document]:
    """Return the first ``limit`` entries ({task, added}) in order; -1 is all."""
    rows = db.execute(
        "SELECT task, added FROM entries WHERE queue = ? ORDER BY position LIMIT ?", (queue, limit)
    ).fetchall()
    return [dict(row) for row in rows]


def count(db: sqlite3.Connection, queue: str) -> int:
    """Return the number of tasks in the queue."""
    return int(db.execute("SELECT count(*) AS n FROM entries WHERE queue = ?", (queue,)).fetchone()["n"])


def move(db: sqlite3.Connection, queue: str, task: str, to: int) -> int:
    """Move the task to index ``to`` of the queue (clamped) and return its new index."""
    order = _order(db, queue, task)
    order.remove(task)
    index = max(0, min(to, len(order)))
    order.insert(index, task)
    db.executemany(
        "UPDATE entries SET position = ? WHERE task = ?",
        [(float(i), task_id) for i, task_id in enumerate(order)],
    )
    return index


def index_of(db: sqlite3.Connection, queue: str, task: str) -> int:
    """Return the task's index; raises TaskNotQueued if it is not in this queue."""
    return _order(db, queue, task).index(task)


def watchers(db: sqlite3.Connection, queue: str) -> list[Document]:
    """Return the living workers that serve the queue."""
    serving = "EXISTS (SELECT 1 FROM json_each(doc, '$.queues') WHERE value = ?)"
    return [worker for worker in documents.where(db, "workers", serving, (queue,)) if is_alive(worker)]


def is_alive(worker: Document) -> bool:
    """Return True if the worker reported within its own timeout (seconds)."""
    timeout: int = worker["timeout"]
    return documents.seconds_between(worker["last_activity_time"], documents.now()) <= timeout


def _order(db: sqlite3.Connection, queue: str, task: str) -> list[str]:
    """Return the tasks of the queue in order; raises TaskNotQueued if ``task`` is not one of them."""
    order = [entry["task"] for entry in entries_of(db, queue)]
    if task not in order:
        raise TaskNotQueued(f"Task is not in the queue: task={task}, queue={queue}")
    return order


def _insert(db: sqlite3.Connection, queue: str, task: str, position: str, now: str) -> None:
    """Add an entry at ``position``, SQL over the entries of the queue."""
    sql = f"INSERT INTO entries (queue, task, position, added) SELECT ?, ?, {position}, ? FROM entries"
    db.execute(f"{sql} WHERE queue = ?", (queue, task, now, queue))
