"""Retention of archived tasks: their events and files are deleted after a while, never the tasks themselves.

Parameters, last metrics, configuration and models stay. A task that anything outside the archive still names
(a later dataset version, a pipeline that reused a cached step, a clone) keeps everything.
"""

import asyncio
import logging
import sqlite3
import time
from datetime import UTC, datetime

from server import documents
from server.database import Database, Unavailable
from server.documents import ARCHIVED, Document
from server.files.tree import Tree, remove_file
from server.stores.events import SLICE, image_urls

log = logging.getLogger("server")

DAY = 86400.0
INTERVAL = 3600.0

FULL = (
    "(json_array_length(doc, '$.execution.artifacts') > 0"
    " OR EXISTS (SELECT 1 FROM events WHERE events.task = tasks.id))"
)


class Retention:
    """Deletes events and files of tasks archived, and not changed since, more than ``days`` ago."""

    def __init__(self, database: Database, tree: Tree, days: float) -> None:
        """``tree`` holds the file server's files, to which the tasks' URLs lead."""
        self._database = database
        self._tree = tree
        self._days = days

    async def run(self) -> None:
        """Check now and then every hour, for ever."""
        while True:
            try:
                await asyncio.to_thread(self.look, time.time())
            except Unavailable:
                pass  # the database has logged it
            except (sqlite3.Error, OSError):
                log.exception("archived tasks could not be emptied")
            await asyncio.sleep(INTERVAL)

    def look(self, now: float) -> None:
        """Check once at the time ``now`` (seconds since the epoch)."""
        limit = datetime.fromtimestamp(now - self._days * DAY, UTC).isoformat(timespec="microseconds")
        with self._database.read() as db:
            condition = f"{ARCHIVED} AND json_extract(doc, '$.last_change') < ? AND {FULL}"
            old = [task["id"] for task in documents.where(db, "tasks", condition, (limit,))]
        for task_id in old:
            with self._database.read() as db:
                tasks = documents.where(db, "tasks", f"id = ? AND {ARCHIVED}", (task_id,))
                urls = [_urls(db, task) for task in tasks if not _is_named_elsewhere(db, task_id)]
            if urls:
                self._empty(task_id, urls[0])

    def _empty(self, task_id: str, urls: list[str]) -> None:
        """Delete files before events: after an interruption the next round still finds what is left."""
        for url in urls:
            remove_file(self._tree, url)
        while self._delete_some_events(task_id):
            pass
        self._database.shrink()
        with self._database.write() as db:
            task = documents.find(db, "tasks", task_id)
            if task is None:
                return
            inputs = [item for item in task["execution"].get("artifacts", []) if item.get("mode") == "input"]
            task["execution"]["artifacts"] = inputs
            task["status_message"] = f"events and files removed after {self._days:g} days in the archive"
            documents.save(db, "tasks", task)
        log.warning("task %s: %s", task_id, task["status_message"])

    def _delete_some_events(self, task_id: str) -> bool:
        # In batches, so that running tasks do not wait long for the writer.
        some = "SELECT number FROM events WHERE task = ? LIMIT ?"
        with self._database.write() as db:
            gone = db.execute(f"DELETE FROM events WHERE number IN ({some})", (task_id, SLICE)).rowcount
        return gone == SLICE


def _is_named_elsewhere(db: sqlite3.Connection, task_id: str) -> bool:
    """Return True if a task that is not archived names the id."""
    sql = f"SELECT 1 FROM tasks WHERE id <> ? AND instr(doc, ?) AND NOT {ARCHIVED}"
    return db.execute(sql, (task_id, task_id)).fetchone() is not None


def _urls(db: sqlite3.Connection, task: Document) -> list[str]:
    """Return the URLs of the task's artifacts and debug images."""
    artifacts = [item for item in task["execution"].get("artifacts", []) if item.get("mode") != "input"]
    urls = [item.get("uri") for item in artifacts] + image_urls(db, task["id"])
    return [url for url in urls if isinstance(url, str) and url.startswith(("http://", "https://"))]
