"""Tasks as documents: created, loaded, saved, and moved from status to status."""

import sqlite3

from server import documents
from server.documents import Document
from server.errors import BadRequest
from server.query import Collection
from server.stores import queues
from server.stores.projects import touch_project

TASKS = Collection(
    table="tasks",
    answer="tasks",
    columns={
        "id": "id",
        "name": "name",
        "project": "project",
        "parent": "parent",
        "status": "status",
        "type": "type",
        "last_update": "last_update",
        "runtime.pipeline_job_hash": "pipeline_job_hash",
    },
    values=frozenset({"project", "parent", "status", "type", "user"}),
    dates=frozenset({"created", "started", "completed", "status_changed", "last_update", "last_change"}),
)


ACTIVE = frozenset({"queued", "in_progress"})
OPEN = ACTIVE | {"created"}
"""The run has not ended, so its results can still be edited."""

STATUSES = OPEN | {"stopped", "failed", "completed", "closed", "publishing", "published", "unknown"}
ORIGINS: dict[str, frozenset[str]] = {
    "created": STATUSES - {"published", "publishing"},
    "queued": frozenset({"created", "stopped", "failed", "closed", "unknown"}),
    "in_progress": OPEN | {"stopped", "completed", "unknown"},
    "stopped": ACTIVE | {"stopped", "failed"},
    "completed": frozenset({"in_progress", "stopped", "completed"}),
    "failed": frozenset({"in_progress", "stopped", "failed"}),
    "closed": frozenset({"stopped"}),
    "published": frozenset({"stopped", "failed", "completed", "closed"}),
}
"""For each status, those from which a task enters it without ``force``."""

STOPPING = "stopping"
RUN_MARKS = ("completed", "active_duration", "last_worker", "last_worker_report")
"""Fields that a run leaves in its task beside the results."""


class InvalidTask(BadRequest, subcode=101):
    """No task has this id."""


class InvalidTaskStatus(BadRequest, subcode=110):
    """The task's status does not allow the change without ``force``."""


def load_task(db: sqlite3.Connection, task_id: str) -> Document:
    """Return the task; raises InvalidTask for an unknown id."""
    task = documents.find(db, "tasks", task_id)
    if task is None:
        raise InvalidTask(f"Invalid task id: id={task_id}, company={documents.COMPANY}")
    return task


def save_task(db: sqlite3.Connection, task: Document, now: str, updated: bool = True) -> Document:
    """Save the task whole, marked as ``touch`` marks it; return the marks."""
    marks = touch(task, now, updated)
    documents.save(db, "tasks", task)
    return marks


def blank_task(now: str) -> Document:
    """Return a new task with default values."""
    return documents.blank(now) | {
        "name": "",
        "type": "training",
        "status": "created",
        "comment": "",
        "report_assets": [],
        "output": {},
        "execution": blank_execution(),
        "script": {"binary": "python", "repository": "", "entry_point": "", "requirements": {}, "diff": ""},
        "last_change": now,
        "last_iteration": 0,
        "last_metrics": {},
        "unique_metrics": [],
        "metric_stats": {},
        "hyperparams": {},
        "configuration": {},
        "runtime": {},
        "models": {"input": [], "output": []},
        "container": {},
        "last_changed_by": documents.USER,
    }


def blank_execution() -> Document:
    """Return the ``execution`` section of a new task."""
    return {"test_split": 0, "parameters": {}, "model_desc": {}, "model_labels": {}, "artifacts": []}


def touch(task: Document, now: str, updated: bool = True) -> Document:
    """Mark the task as changed and, with ``updated``, as updated; return the marks."""
    marks = {"last_change": now, "last_changed_by": documents.USER} | (
        {"last_update": now} if updated else {}
    )
    task.update(marks)
    if updated and task["status"] == "in_progress" and "started" in task:
        task["active_duration"] = documents.seconds_between(task["started"], now)
    return marks


def settle(db: sqlite3.Connection, task: Document, fields: Document, now: str, **extra: object) -> Document:
    """Save a change of status and return what changed; a task that is not queued leaves its queue."""
    if fields["status"] != "queued":
        queues.remove(db, task["id"])
    # The run's duration counts up to now, so it is marked before the status changes.
    marks = touch(task, now)
    task |= fields | extra
    documents.save(db, "tasks", task)
    touch_project(db, task.get("project"), now)
    return fields | marks | extra


def require_status(task: Document, statuses: frozenset[str], force: bool = False) -> None:
    """Raise InvalidTaskStatus unless the task has one of the statuses or ``force`` is set."""
    if not force and task["status"] not in statuses:
        raise InvalidTaskStatus(
            f"Invalid task status: task={task['id']}, status={task['status']}, expected={sorted(statuses)}"
        )


def pipeline_steps(db: sqlite3.Connection, task: Document) -> list[Document]:
    """Return a run's own steps; none if the task is no run.

    A clone of the run has the run as its parent too, but is a controller.
    """
    if task["type"] != "controller":
        return []
    return documents.where(db, "tasks", "parent = ? AND type <> 'controller'", (task["id"],))


def attach_model(task: Document, kind: str, name: str, model: str, now: str) -> None:
    """Attach the model to the task's ``kind`` (input or output), replacing one of the same name."""
    kept = [item for item in task["models"].get(kind, []) if item["name"] != name]
    task["models"][kind] = [*kept, {"name": name, "model": model, "updated": now}]
