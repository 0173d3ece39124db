"""Calls of the tasks service that delete, reset and archive tasks."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress

from server import documents
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import ApiError, BadRequest
from server.services.tasks.status import CHANGE, STATUS, change, included_steps
from server.stores import queues
from server.stores.events import delete_some, image_urls
from server.stores.tasks import (
    ORIGINS,
    RUN_MARKS,
    blank_execution,
    load_task,
    require_status,
    save_task,
)

service = Service("tasks")

FILES = ("delete_output_models", "return_file_urls")
DELETE = ("include_pipeline_steps", *FILES, *CHANGE)
RESET = ("clear_all", *FILES, *CHANGE)
ARCHIVE = ("include_pipeline_steps", *STATUS)
ARCHIVED = "archived"


class TaskNotDraft(BadRequest, subcode=123):
    """A task that is no draft is deleted only with ``force``."""


@service.writes_one("delete", "task", *DELETE)
@service.writes_each("delete_many", *DELETE)
def delete(call: Call, task_id: str) -> Document:
    """Delete a task, its events and unpublished models; ``return_file_urls`` lists the files left.

    ``include_pipeline_steps`` also deletes a run's steps.
    """
    tasks = _deletable(call, task_id)
    urls = file_urls(call.db, tasks) if call.arguments.flag("return_file_urls") else None
    with_models = call.arguments.flag("delete_output_models", True)
    counts = [delete_task(call.db, item, with_models) for item in tasks]
    return {"deleted": True, **counts[-1], "urls": urls}


@service.writes_one("reset", "task", *RESET)
@service.writes_each("reset_many", *RESET)
def reset(call: Call, task_id: str) -> Document:
    """Turn a task back into a draft: delete the results of its run and keep its parameters."""
    task = _resettable(call, task_id)
    urls = file_urls(call.db, [task]) if call.arguments.flag("return_file_urls") else None
    counts = _release_models(call.db, task_id, call.arguments.flag("delete_output_models", True))
    call.db.execute("DELETE FROM events WHERE task = ?", (task_id,))
    dequeued = int(queues.remove(call.db, task_id))
    changes = _clear(call, task) | save_task(call.db, task, call.now)
    return {"updated": 1, "fields": changes, "dequeued": {"removed": dequeued}, "urls": urls, **counts}


@service.in_slices("delete", "delete_many")
def delete_events(call: Call) -> int:
    """Delete some events of tasks that may be deleted; the call reports the others."""
    return _delete_some(call, _deletable)


@service.in_slices("reset", "reset_many")
def reset_events(call: Call) -> int:
    """Delete some events of tasks that may be reset; the call reports the others."""
    return _delete_some(call, lambda call, task_id: [_resettable(call, task_id)])


@service.writes("archive", "tasks", *ARCHIVE)
def archive(call: Call) -> Document:
    """Archive tasks as ``archive_many`` does; all of them or none."""
    for task_id in call.arguments.texts("tasks"):
        archive_task(call, task_id)
    return {"archived": len(call.arguments.texts("tasks"))}


@service.writes_each("archive_many", *ARCHIVE)
def archive_task(call: Call, task_id: str) -> Document:
    """Archive a task, out of its queue and stopped; ``include_pipeline_steps`` archives a run's steps too."""
    task = load_task(call.db, task_id)
    for step in included_steps(call, task):
        archive_task(call, step["id"])
    if task["status"] == "in_progress":
        change(call, task, "stopped", completed=call.now)
    elif queues.remove(call.db, task_id) or task["status"] == "queued":
        task |= {"status": task.pop("enqueue_status", None) or "created", "status_changed": call.now}
    task["system_tags"] = sorted({*task["system_tags"], ARCHIVED})
    task |= call.arguments.chosen(STATUS)
    save_task(call.db, task, call.now, updated=False)
    return {"archived": True}


@service.writes_each("unarchive_many", *STATUS)
def unarchive(call: Call, task_id: str) -> Document:
    """Restore an archived task."""
    task = load_task(call.db, task_id)
    task["system_tags"] = [tag for tag in task["system_tags"] if tag != ARCHIVED]
    task |= call.arguments.chosen(STATUS)
    save_task(call.db, task, call.now, updated=False)
    return {"unarchived": True}


def delete_task(db: sqlite3.Connection, task: Document, with_models: bool = True) -> Document:
    """Delete the task with its events, queue entry and unpublished models; detach its children."""
    task_id = task["id"]
    children = documents.where(db, "tasks", "parent = ?", (task_id,))
    for child in children:
        child.pop("parent")
        documents.save(db, "tasks", child)
    counts = _release_models(db, task_id, with_models)
    db.execute("DELETE FROM events WHERE task = ?", (task_id,))
    queues.remove(db, task_id)
    documents.delete(db, "tasks", task_id)
    return {"updated_children": len(children), **counts}


def _deletable(call: Call, task_id: str) -> list[Document]:
    """Return what the call deletes with the task, the task last; raises TaskNotDraft."""
    task = load_task(call.db, task_id)
    if task["status"] != "created" and not call.arguments.flag("force"):
        raise TaskNotDraft(f"Task is {task['status']}, use force=true to delete: task={task_id}")
    return [*included_steps(call, task), task]


def _resettable(call: Call, task_id: str) -> Document:
    task = load_task(call.db, task_id)
    require_status(task, ORIGINS["created"], call.arguments.flag("force"))
    return task


def _delete_some(call: Call, tasks_of: Callable[[Call, str], list[Document]]) -> int:
    tasks: list[str] = []
    for task_id in call.arguments.texts("ids") or call.arguments.texts("task"):
        with suppress(ApiError):
            tasks += [task["id"] for task in tasks_of(call, task_id)]
    return delete_some(call.db, tasks)


def _release_models(db: sqlite3.Connection, task: str, remove: bool) -> Document:
    updated = deleted = 0
    for model in documents.where(db, "models", "task = ?", (task,)):
        if remove and not model.get("ready"):
            deleted += documents.delete(db, "models", model["id"])
        else:
            model.pop("task")
            documents.save(db, "models", model)
            updated += 1
    return {"updated_models": updated, "deleted_models": deleted}


def file_urls(db: sqlite3.Connection, tasks: list[Document]) -> Document:
    """Return the URLs of the tasks' files, for clients that delete them."""
    artifacts = [artifact for task in tasks for artifact in task["execution"].get("artifacts", [])]
    models = [model for task in tasks for model in documents.where(db, "models", "task = ?", (task["id"],))]
    return {
        "event_urls": [url for task in tasks for url in image_urls(db, task["id"]) if url],
        "artifact_urls": [a["uri"] for a in artifacts if a.get("mode") == "output" and a.get("uri")],
        "model_urls": [model["uri"] for model in models if model.get("uri")],
    }


def _clear(call: Call, task: Document) -> Document:
    """Remove the run's results from the task and, with ``clear_all``, its settings; return what changed."""
    for name in (*RUN_MARKS, "started", "enqueue_status"):
        task.pop(name, None)
    kept = [a for a in task["execution"].get("artifacts", []) if a.get("mode") == "input"]
    execution = blank_execution() if call.arguments.flag("clear_all") else task["execution"]
    execution = {key: value for key, value in execution.items() if key != "queue"}
    changes: Document = {
        "status": "created",
        "status_reason": call.arguments.maybe_text("status_reason") or "reset",
        "status_message": call.arguments.maybe_text("status_message") or "reset",
        "status_changed": call.now,
        "last_iteration": 0,
        "last_metrics": {},
        "metric_stats": {},
        "unique_metrics": [],
        "runtime": {},
        "output": {key: value for key, value in task["output"].items() if key == "destination"},
        "execution": {**execution, "artifacts": kept},
        "models": {"input": task["models"].get("input", []), "output": []},
    }
    if call.arguments.flag("clear_all"):
        changes |= {"hyperparams": {}, "configuration": {}, "script": {"requirements": {}}}
    task |= changes
    return changes
