"""Live workers as the server knows them, and the unfinished tasks that lost theirs.

Only the embedded server marks the task of a dead worker as failed. ClearML's own leaves it `in_progress`, and
after two hours stops it with a message that ClearML's controller takes for still running. So whoever drives a
task watches it: the controller its steps, the command that follows a run its controller.
"""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pipeline.clearml_tasks import TaskRecord, fetch
from pipeline.connection import Api, ApiError

WORKER_LOST = "worker lost"
"""Prefix of the reason of a failure that is not the step's own; the embedded watchdog writes the same."""

NON_RESPONSIVE = "Forced stop (non-responsive)"
"""Message with which the watchdog of ClearML's own server stops a task."""

STOPPING = "stopping"
"""Message of a running task that was asked to stop."""

UNFINISHED = ("in_progress", "queued")
"""Statuses of a task that a worker should execute or a queue should hold."""

ALIVE_SECONDS = 120
"""Silence after which a worker is taken for gone; agents report every half minute."""

EXECUTING_SECONDS = 60
"""Silence after which a worker is no longer trusted to execute its task."""

POLL_SECONDS = 0.5
"""Interval between two looks at the same workers."""


def live_workers(api: Api, last_seen: int = ALIVE_SECONDS) -> list[dict[str, Any]]:
    """Return the documents of the workers that reported within `last_seen` seconds."""
    workers: list[dict[str, Any]] = api.call("workers.get_all", last_seen=last_seen)["workers"]
    return workers


def executing_tasks(api: Api, last_seen: int = EXECUTING_SECONDS) -> set[str]:
    """Return the ids of the tasks that workers are executing."""
    return {worker["task"]["id"] for worker in live_workers(api, last_seen) if worker.get("task")}


def abandoned(api: Api, tasks: Iterable[TaskRecord]) -> list[TaskRecord]:
    """Return the tasks that should be at work or wait for it, and that no worker executes and no queue holds.

    An agent takes a task from its queue, marks it as running and reports it, one after the other, so a task
    counts only if it is alone at two looks.
    """
    alone = unattended(api, tasks)
    if alone:
        time.sleep(POLL_SECONDS)
        alone = unattended(api, alone)
    return alone


def unattended(api: Api, tasks: Iterable[TaskRecord], last_seen: int = EXECUTING_SECONDS) -> list[TaskRecord]:
    """Return the running and queued tasks that no worker executes and no queue holds at this moment."""
    unfinished = [task for task in tasks if task.status in UNFINISHED]
    if not unfinished:
        return []
    attended = executing_tasks(api, last_seen)
    if any(task.status == "queued" for task in unfinished):
        queues = api.call("queues.get_all", only_fields=["entries"], search_hidden=True)["queues"]
        attended |= {entry["task"] for queue in queues for entry in queue.get("entries") or []}
    return [task for task in unfinished if task.id not in attended]


def mark_lost(api: Api, task: TaskRecord, why: str) -> None:
    """Mark an unfinished task as failed because its worker is gone; a controller then tries it again.

    A task that a person is stopping is stopped, and one that ended in the meantime stays as it is. So force
    is used for a queued task only, which the server would not let fail.
    """
    reason = f"{WORKER_LOST}: {task.worker or 'unknown'}, {why}"
    call = "tasks.stopped" if STOPPING in task.message else "tasks.failed"
    force = task.status == "queued"
    try:
        api.call(call, task=task.id, force=force, status_reason=reason, status_message=reason)
    except ApiError:
        if fetch(api, [task.id])[task.id].status == task.status:
            raise


class Watch:
    """Finds the tasks whose worker is lost: nobody executes them, and they were silent for `timeout` seconds.

    Silence is measured on this process's clock, from when it first saw a task's last sign of life. So neither
    the server's clock counts, nor a time in which the server was away and workers could not report.
    """

    def __init__(self, api: Api, timeout: float) -> None:
        """Look four times per `timeout` (seconds), at most every 15 s."""
        self._api = api
        self._timeout = timeout
        self.interval = min(15.0, max(0.2, timeout / 4))
        self._looked = -self.interval
        self._first_seen: dict[tuple[str, str, datetime | None], float] = {}

    def due(self, now: float | None = None) -> bool:
        """Return True if the last look was `interval` seconds ago or more."""
        return (time.monotonic() if now is None else now) - self._looked >= self.interval

    def look(self, tasks: Iterable[TaskRecord], now: float | None = None) -> list[TaskRecord]:
        """Return those of `tasks`, as just read from the server, that lost their worker."""
        now = time.monotonic() if now is None else now
        if now - self._looked > 2 * self.interval + 5:
            self._first_seen = {}  # the server did not answer, or this process was halted
        self._looked = now
        seen = {(task.id, task.status, task.updated): task for task in tasks}
        self._first_seen = {sign: self._first_seen.get(sign, now) for sign in seen}
        silent = [task for sign, task in seen.items() if now - self._first_seen[sign] > self._timeout]
        stopped = [task for task in seen.values() if is_nonresponsive(task)]
        return stopped + unattended(self._api, silent, max(1, int(self._timeout)))

    def fail_lost(self, tasks: Iterable[TaskRecord]) -> list[TaskRecord]:
        """Look once, and mark the tasks that lost their worker as failed; return them."""
        lost = self.look(tasks)
        silence = timedelta(seconds=int(self._timeout))
        for task in lost:
            mark_lost(self._api, task, f"no sign of life for {silence}")
        return lost


def is_nonresponsive(task: TaskRecord) -> bool:
    """Return True for a task that a server's watchdog stopped because its worker was silent."""
    return task.status == "stopped" and NON_RESPONSIVE.lower() in f"{task.message} {task.reason}".lower()


def failed_by_loss(task: TaskRecord) -> bool:
    """Return True for a task that ended because its worker was lost."""
    lost = task.status == "failed" and WORKER_LOST in f"{task.reason} {task.message}"
    return lost or is_nonresponsive(task)
