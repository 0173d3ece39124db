"""Watchdog for lost workers, silent tasks and queue entries that were taken and dropped."""

import asyncio
import logging
import sqlite3
import time
from datetime import timedelta

from server import documents
from server.database import Database, Unavailable
from server.documents import Document
from server.stores import queues
from server.stores.tasks import STOPPING, settle

log = logging.getLogger("server")

SILENT_TASK = 2 * 3600.0
LOST_ENTRY = 60.0


class Watchdog:
    """Ends tasks whose worker was silent for ``worker_timeout`` seconds.

    Lost tasks are marked *failed*, not stopped: a pipeline's retry_on_failure retries only failed steps.
    """

    def __init__(self, database: Database, worker_timeout: float) -> None:
        """Check four times per ``worker_timeout`` (seconds), at most every 15 s."""
        self._database = database
        self._timeout = worker_timeout
        self._interval = min(15.0, max(0.2, worker_timeout / 4))
        self._awake_since = time.time()

    async def run(self) -> None:
        """Check for ever; after the machine slept, every worker gets the full time again."""
        last = time.time()
        while True:
            await asyncio.sleep(self._interval)
            now = time.time()
            if now - last > 2 * self._interval + 5:
                log.warning("the machine slept for %.0f s: the workers' time-outs start again", now - last)
                self._awake_since = now
            last = now
            try:
                await asyncio.to_thread(self.look, now)
            except Unavailable:
                pass  # the database has logged it
            except sqlite3.Error:
                log.exception("the watchdog could not check the tasks")

    def look(self, now: float) -> None:
        """Check once at the time ``now`` (seconds since the epoch)."""
        with self._database.read() as db:
            running = documents.where(db, "tasks", "status = 'in_progress'")
            waiting = documents.where(
                db,
                "tasks",
                "status = 'queued' AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.task = tasks.id)",
            )
        overdue = [task["id"] for task in running if self._is_overdue(task, now)]
        lost = [task["id"] for task in waiting if self._silent(task, now) > LOST_ENTRY]
        for task_id in overdue:
            with self._database.write() as db:
                self._end(db, task_id, now)
        for task_id in lost:
            with self._database.write() as db:
                _queue_again(db, task_id)

    def _is_overdue(self, task: Document, now: float) -> bool:
        return self._silent(task, now) > (self._timeout if "last_worker" in task else SILENT_TASK)

    def _silent(self, task: Document, now: float) -> float:
        """Return the seconds since the last sign of life that could have reached us."""
        heard = documents.parse_time(task["last_update"]).timestamp()
        return now - max(heard, self._awake_since)

    def _end(self, db: sqlite3.Connection, task_id: str, now: float) -> None:
        task = documents.find(db, "tasks", task_id)
        if task is None or task["status"] != "in_progress" or not self._is_overdue(task, now):
            return
        moment = documents.now()
        fields = {"status_changed": moment, "status_message": "", **self._verdict(task, now)}
        settle(db, task, fields, moment, completed=moment)
        log.warning("task %s: %s", task_id, fields["status_reason"])

    def _verdict(self, task: Document, now: float) -> Document:
        silent = f"no sign of life for {timedelta(seconds=int(self._silent(task, now)))}"
        if "last_worker" not in task:
            return {"status": "stopped", "status_reason": f"Forced stop (non-responsive): {silent}"}
        if STOPPING in task.get("status_message", ""):
            return {
                "status": "stopped",
                "status_reason": f"stopped; worker {task['last_worker']} lost: {silent}",
            }
        return {"status": "failed", "status_reason": f"worker lost: {task['last_worker']}, {silent}"}


def _queue_again(db: sqlite3.Connection, task_id: str) -> None:
    """Requeue a task whose agent took the entry and died before it started the task."""
    task = documents.find(db, "tasks", task_id)
    if task is None or task["status"] != "queued":
        return
    queue = task["execution"].get("queue")
    taken = db.execute("SELECT 1 FROM entries WHERE task = ?", (task_id,)).fetchone()
    if taken or not queue or documents.find(db, "queues", queue) is None:
        return
    queues.push_front(db, queue, task_id, documents.now())
    log.warning("task %s was taken from its queue and never started: it is queued again", task_id)
