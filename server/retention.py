"""What a task leaves in the archive goes after a while: its events and files, never the task itself.

Parameters, last metrics, configuration and models stay. A task that anything outside the archive still names
(a later version of a data set, a pipeline that took a step from the cache, a clone) keeps everything.
"""

import asyncio
import logging
import sqlite3
import time
from datetime import UTC, datetime

from server import documents
from server.database import Database
from server.documents import Document
from server.errors import Unavailable
from server.files.tree import Tree, remove_file
from server.stores.events import IMAGE
from server.stores.tasks import save_task

log = logging.getLogger("server")

DAY = 86400.0
INTERVAL = 3600.0
BATCH = 10_000

ARCHIVED = "EXISTS (SELECT 1 FROM json_each(tasks.doc, '$.system_tags') WHERE value = 'archived')"
FULL = (
    "(json_array_length(doc, '$.execution.artifacts') > 0"
    " OR EXISTS (SELECT 1 FROM events WHERE events.task = tasks.id))"
)


class Retention:
    """Empties tasks that were archived, and not touched since, more than ``days`` ago."""

    def __init__(self, database: Database, tree: Tree, days: float) -> None:
        """``tree`` is where the file server keeps the files that the tasks' URLs lead to."""
        self._database = database
        self._tree = tree
        self._days = days

    async def run(self) -> None:
        """Look around at once and then every hour, for ever."""
        while True:
            try:
                await asyncio.to_thread(self.look, time.time())
            except Unavailable:
                pass  # the database has said so in the log
            except (sqlite3.Error, OSError):
                log.exception("archived tasks could not be emptied")
            await asyncio.sleep(INTERVAL)

    def look(self, now: float) -> None:
        """One round at the time ``now`` (seconds since the epoch)."""
        limit = datetime.fromtimestamp(now - self._days * DAY, UTC).isoformat(timespec="microseconds")
        with self._database.read() as db:
            condition = f"{ARCHIVED} AND json_extract(doc, '$.last_change') < ? AND {FULL}"
            old = [task["id"] for task in documents.where(db, "tasks", condition, (limit,))]
        for task_id in old:
            with self._database.read() as db:
                found = documents.where(db, "tasks", f"id = ? AND {ARCHIVED}", (task_id,))
                urls = [_urls(db, task) for task in found if not _is_named_elsewhere(db, task_id)]
            if urls:
                self._empty(task_id, urls[0])

    def _empty(self, task_id: str, urls: list[str]) -> None:
        """Files first: if this ends in the middle, the next round still knows what is left to do."""
        for url in urls:
            remove_file(self._tree, url)
        while self._delete_some_events(task_id):
            pass
        with self._database.write() as db:
            task = documents.find(db, "tasks", task_id)
            if task is None:
                return
            inputs = [item for item in task["execution"].get("artifacts", []) if item.get("mode") == "input"]
            task["execution"]["artifacts"] = inputs
            task["status_message"] = f"events and files removed after {self._days:g} days in the archive"
            save_task(db, task)
        log.warning("task %s: %s", task_id, task["status_message"])

    def _delete_some_events(self, task_id: str) -> bool:
        # Piece by piece, so that no running task waits for the writer for long.
        some = "SELECT number FROM events WHERE task = ? LIMIT ?"
        with self._database.write() as db:
            gone = db.execute(f"DELETE FROM events WHERE number IN ({some})", (task_id, BATCH)).rowcount
        return gone == BATCH


def _is_named_elsewhere(db: sqlite3.Connection, task_id: str) -> bool:
    """Whether the document of any other task that is not archived contains the id."""
    sql = f"SELECT 1 FROM tasks WHERE id <> ? AND instr(doc, ?) AND NOT {ARCHIVED}"
    return db.execute(sql, (task_id, task_id)).fetchone() is not None


def _urls(db: sqlite3.Connection, task: Document) -> list[str]:
    """Where the files are that the task's artifacts and images name."""
    artifacts = [item for item in task["execution"].get("artifacts", []) if item.get("mode") != "input"]
    images = db.execute(
        "SELECT DISTINCT json_extract(doc, '$.url') AS url FROM events WHERE task = ? AND type = ?",
        (task["id"], IMAGE),
    )
    found = [item.get("uri") for item in artifacts] + [row["url"] for row in images]
    return [url for url in found if isinstance(url, str) and url.startswith(("http://", "https://"))]
