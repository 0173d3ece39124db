"""Entries of queues: the waiting tasks in their order."""

import sqlite3

from server.documents import Document
from server.errors import TaskAlreadyQueued, TaskNotQueued


def push(db: sqlite3.Connection, queue: str, task: str, now: str) -> None:
    """Append the task to the queue; raises TaskAlreadyQueued if it is in any queue."""
    taken = db.execute("SELECT queue FROM entries WHERE task = ?", (task,)).fetchone()
    if taken:
        raise TaskAlreadyQueued(f"Task already queued: task={task}, queue={taken['queue']}")
    last = db.execute("SELECT max(position) AS last FROM entries WHERE queue = ?", (queue,)).fetchone()[
        "last"
    ]
    _insert(db, queue, task, (last or 0.0) + 1.0, now)


def push_front(db: sqlite3.Connection, queue: str, task: str, now: str) -> None:
    """Insert the task at the front of the queue."""
    first = db.execute("SELECT min(position) AS first FROM entries WHERE queue = ?", (queue,)).fetchone()[
        "first"
    ]
    _insert(db, queue, task, (first or 0.0) - 1.0, now)


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
    order = [entry["task"] for entry in entries_of(db, queue)]
    if task not in order:
        raise TaskNotQueued(f"Task is not in the queue: task={task}, queue={queue}")
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
    order = [entry["task"] for entry in entries_of(db, queue)]
    if task not in order:
        raise TaskNotQueued(f"Task is not in the queue: task={task}, queue={queue}")
    return order.index(task)


def _insert(db: sqlite3.Connection, queue: str, task: str, position: float, now: str) -> None:
    db.execute(
        "INSERT INTO entries (queue, task, position, added) VALUES (?, ?, ?, ?)", (queue, task, position, now)
    )
