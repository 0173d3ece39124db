"""Calls of the tasks service that delete, reset and archive tasks."""

import sqlite3

from server import documents
from server.answers import bulk
from server.dispatch import Call, Service
from server.documents import Document
from server.stores import queues
from server.stores.events import image_urls
from server.stores.tasks import InvalidTaskStatus, blank_execution, load_task, save_task, touch

service = Service("tasks")

ARCHIVED = "archived"


@service.writes("delete")
def delete(call: Call) -> Document:
    """Delete a task, its events and unpublished models; ``return_file_urls`` lists the files left."""
    return {"deleted": True, **_delete(call, call.arguments.text("task"))}


@service.writes("delete_many")
def delete_many(call: Call) -> Document:
    """Delete tasks; a failing one does not stop the others."""
    return bulk(
        call, call.arguments.texts("ids"), lambda task_id: {"deleted": True, **_delete(call, task_id)}
    )


@service.writes("reset")
def reset(call: Call) -> Document:
    """Turn a task back into a draft: delete the results of its run and keep its parameters."""
    return _reset(call, call.arguments.text("task"))


@service.writes("reset_many")
def reset_many(call: Call) -> Document:
    """Reset tasks; a failing one does not stop the others."""
    return bulk(call, call.arguments.texts("ids"), lambda task_id: _reset(call, task_id))


@service.writes("archive")
def archive(call: Call) -> Document:
    """Archive tasks and take them out of their queues; all of them or none."""
    for task_id in call.arguments.texts("tasks"):
        _archive(call, task_id)
    return {"archived": len(call.arguments.texts("tasks"))}


@service.writes("archive_many")
def archive_many(call: Call) -> Document:
    """Archive tasks and take them out of their queues; a failing one does not stop the others."""
    return bulk(call, call.arguments.texts("ids"), lambda task_id: {"archived": _archive(call, task_id)})


@service.writes("unarchive_many")
def unarchive_many(call: Call) -> Document:
    """Restore archived tasks."""
    return bulk(call, call.arguments.texts("ids"), lambda task_id: {"unarchived": _unarchive(call, task_id)})


def delete_task(db: sqlite3.Connection, task: Document, with_models: bool = True) -> Document:
    """Delete the task with its events, queue entry and unpublished models; detach its children."""
    task_id = task["id"]
    children = documents.where(db, "tasks", "parent = ?", (task_id,))
    for child in children:
        child.pop("parent")
        save_task(db, child)
    counts = _release_models(db, task_id, with_models)
    db.execute("DELETE FROM events WHERE task = ?", (task_id,))
    queues.remove(db, task_id)
    documents.delete(db, "tasks", task_id)
    return {"updated_children": len(children), **counts}


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


def _delete(call: Call, task_id: str) -> Document:
    task = load_task(call.db, task_id)
    if task["status"] in ("in_progress", "queued", "published") and not call.arguments.flag("force"):
        raise InvalidTaskStatus(
            f"Invalid task status: task={task_id} is {task['status']}, use force=true to delete"
        )
    urls = _urls(call.db, task) if call.arguments.flag("return_file_urls") else None
    return {**delete_task(call.db, task, call.arguments.flag("delete_output_models", True)), "urls": urls}


def _urls(db: sqlite3.Connection, task: Document) -> Document:
    """Return the URLs of the task's files, for clients that delete them."""
    artifacts = [a.get("uri") for a in task["execution"].get("artifacts", []) if a.get("mode") == "output"]
    models = [model.get("uri") for model in documents.where(db, "models", "task = ?", (task["id"],))]
    return {
        "event_urls": [url for url in image_urls(db, task["id"]) if url],
        "artifact_urls": [uri for uri in artifacts if uri],
        "model_urls": [uri for uri in models if uri],
    }


def _reset(call: Call, task_id: str) -> Document:
    task = load_task(call.db, task_id)
    if task["status"] == "published" and not call.arguments.flag("force"):
        raise InvalidTaskStatus(f"Invalid task status: task={task_id} is published, use force=true to reset")
    urls = _urls(call.db, task) if call.arguments.flag("return_file_urls") else None
    counts = _release_models(call.db, task_id, call.arguments.flag("delete_output_models", True))
    call.db.execute("DELETE FROM events WHERE task = ?", (task_id,))
    dequeued = int(queues.remove(call.db, task_id))
    changes = _cleared(call, task)
    save_task(call.db, task)
    return {"updated": 1, "fields": changes, "dequeued": {"removed": dequeued}, "urls": urls, **counts}


def _cleared(call: Call, task: Document) -> Document:
    """Remove the results of the run from the task and, with ``clear_all``, the user's settings."""
    for name in (
        "started",
        "completed",
        "active_duration",
        "last_worker",
        "last_worker_report",
        "enqueue_status",
    ):
        task.pop(name, None)
    kept = [a for a in task["execution"].get("artifacts", []) if a.get("mode") == "input"]
    execution = blank_execution() if call.arguments.flag("clear_all") else task["execution"]
    execution = {key: value for key, value in execution.items() if key != "queue"}
    changes: Document = {
        "status": "created",
        "status_reason": "reset",
        "status_message": "reset",
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
    return changes | touch(task, call.now)


def _archive(call: Call, task_id: str) -> bool:
    task = load_task(call.db, task_id)
    if queues.remove(call.db, task_id):
        task |= {"status": task.pop("enqueue_status", "created"), "status_changed": call.now}
    task["system_tags"] = sorted({*task["system_tags"], ARCHIVED})
    for argument in ("status_message", "status_reason"):
        if argument in call.arguments:
            task[argument] = call.arguments.text(argument)
    task |= {"last_change": call.now, "last_changed_by": documents.USER}
    save_task(call.db, task)
    return True


def _unarchive(call: Call, task_id: str) -> bool:
    task = load_task(call.db, task_id)
    task["system_tags"] = [tag for tag in task["system_tags"] if tag != ARCHIVED]
    task |= {"last_change": call.now, "last_changed_by": documents.USER}
    save_task(call.db, task)
    return True
