"""Calls of the tasks service that change a task's status: queued, started, ended, published."""

from server import documents
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import BadRequest
from server.stores import queues
from server.stores.models import save_model
from server.stores.tasks import (
    ACTIVE,
    ORIGINS,
    RUN_MARKS,
    STATUSES,
    STOPPING,
    load_task,
    pipeline_steps,
    require_status,
    save_task,
    settle,
)

service = Service("tasks")

STATUS = ("status_reason", "status_message")
CHANGE = ("force", *STATUS)
STOP = ("include_pipeline_steps", *CHANGE)
ENQUEUE = ("queue", "queue_name", "verify_watched_queue", *CHANGE)
DEVELOPMENT = "development"


class InvalidId(BadRequest, subcode=10):
    """``tasks.started`` of a task that does not exist."""


@service.writes("started", "task", *CHANGE)
def started(call: Call) -> Document:
    """Mark the task as running; a repeated call keeps its start time."""
    task_id = call.arguments.text("task")
    task = documents.find(call.db, "tasks", task_id)
    if task is None:
        raise InvalidId("Invalid object id: task=None")
    _allow(call, task, "in_progress")
    first = {} if task["status"] == "in_progress" else {"started": call.now}
    if first:
        # Left by an earlier run: above all its worker, which the watchdog must not wait for.
        for name in RUN_MARKS:
            task.pop(name, None)
    return {"fields": change(call, task, "in_progress", **first), "started": 1, "updated": 1}


@service.writes("completed", "task", "publish", *CHANGE)
def completed(call: Call) -> Document:
    """Mark the task as completed; ``publish`` also publishes it and its models."""
    task = load_task(call.db, call.arguments.text("task"))
    _allow(call, task, "completed")
    fields = change(call, task, "completed", completed=call.now)
    published = call.arguments.flag("publish")
    if published:
        fields |= publish(call, task["id"])["fields"]
    return {"fields": fields, "published": int(published), "updated": 1}


@service.writes("stopped", "task", *CHANGE)
def stopped(call: Call) -> Document:
    """Mark the task as stopped."""
    return _end(call, call.arguments.text("task"), "stopped")


@service.writes("failed", "task", *CHANGE)
def failed(call: Call) -> Document:
    """Mark the task as failed, with the reason in ``status_message``."""
    return _end(call, call.arguments.text("task"), "failed")


@service.writes("close", "task", *CHANGE)
def close(call: Call) -> Document:
    """Close a task, which makes it read-only."""
    return _end(call, call.arguments.text("task"), "closed")


@service.writes_one("stop", "task", *STOP)
@service.writes_one("stop_request", "task", *STOP)
@service.writes_each("stop_many", *STOP, stopped=True)
def stop(call: Call, task_id: str) -> Document:
    """Stop a task; ``include_pipeline_steps`` also stops a run's steps that have not ended."""
    task = load_task(call.db, task_id)
    answer = _stop(call, task)
    for step in included_steps(call, task):
        if step["status"] in ACTIVE:
            _stop(call, step)
    return answer


def included_steps(call: Call, task: Document) -> list[Document]:
    """Return the run's steps if the call takes them along, by ``include_pipeline_steps``."""
    return pipeline_steps(call.db, task) if call.arguments.flag("include_pipeline_steps") else []


def _stop(call: Call, task: Document) -> Document:
    """Ask the task's agent to stop it; without an agent, or with ``force``, stop it now."""
    by_agent = (
        task["status"] == "in_progress" and "last_worker" in task and DEVELOPMENT not in task["system_tags"]
    )
    if not by_agent or call.arguments.flag("force"):
        return _end(call, task["id"], "stopped")
    fields = {"status_message": STOPPING, "status_reason": call.arguments.maybe_text("status_reason") or ""}
    task |= fields
    return {"fields": fields | save_task(call.db, task, call.now), "updated": 1}


@service.writes_one("publish", "task", "publish_model", *CHANGE, committed_versions_results=[])
@service.writes_each("publish_many", "publish_model", *CHANGE, published=True)
def publish(call: Call, task_id: str) -> Document:
    """Publish an ended task and its models, which makes them read-only."""
    return publish_task(
        call, task_id, call.arguments.flag("force"), call.arguments.flag("publish_model", True)
    )


def publish_task(call: Call, task_id: str, force: bool, with_models: bool = True) -> Document:
    """Publish the task and its output models; raises InvalidTaskStatus, unless ``force`` is set."""
    task = load_task(call.db, task_id)
    require_status(task, ORIGINS["published"], force)
    if with_models:
        for output in task["models"].get("output", []):
            model = documents.find(call.db, "models", output["model"])
            if model and not model.get("ready"):
                save_model(call.db, call.now, model | {"ready": True})
    return {"fields": change(call, task, "published", published=call.now), "updated": 1}


def change(call: Call, task: Document, status: str, **extra: object) -> Document:
    """Set the task's status with the call's reason and message; return what changed."""
    fields = {
        "status": status,
        "status_reason": call.arguments.maybe_text("status_reason") or "",
        "status_message": call.arguments.maybe_text("status_message") or "",
        "status_changed": call.now,
    }
    return settle(call.db, task, fields, call.now, **extra)


def _end(call: Call, task_id: str, status: str) -> Document:
    task = load_task(call.db, task_id)
    _allow(call, task, status)
    end = {} if status == "closed" else {"completed": call.now}
    return {"fields": change(call, task, status, **end), "updated": 1}


def _allow(call: Call, task: Document, status: str) -> None:
    require_status(task, ORIGINS[status], call.arguments.flag("force"))


@service.writes_one("enqueue", "task", *ENQUEUE)
@service.writes_each("enqueue_many", *ENQUEUE, enqueued=True)
def enqueue_task(call: Call, task_id: str) -> Document:
    """Append the task to the call's queue: by id, by name (created if new) or the default.

    Raises:
        TaskAlreadyQueued: It waits in a queue, ``force`` or not.
        InvalidTaskStatus: It is running or completed, and the call lacks ``force``.
    """
    task = load_task(call.db, task_id)
    queue = _queue_of(call)
    queues.push(call.db, queue["id"], task_id, call.now)
    _allow(call, task, "queued")
    queues.touch_queue(call.db, queue, call.now)
    before = task["status"]
    task["system_tags"] = [tag for tag in task["system_tags"] if tag != DEVELOPMENT]
    task["execution"]["queue"] = queue["id"]
    task["enqueue_status"] = before
    fields = change(call, task, "queued")
    data = {
        "fields": {**fields, "enqueue_status": before, "execution.queue": queue["id"]},
        "queued": 1,
        "updated": 1,
    }
    if call.arguments.flag("verify_watched_queue"):
        data["queue_watched"] = bool(queues.watchers(call.db, queue["id"]))
    return data


@service.writes_one("dequeue", "task", "new_status", *STATUS)
@service.writes_each("dequeue_many", "new_status", *STATUS)
def dequeue(call: Call, task_id: str) -> Document:
    """Take a task out of its queue and restore its earlier status, or set ``new_status``.

    Agents also call this after popping the task. One that has ended keeps its status.
    """
    task = load_task(call.db, task_id)
    status = call.arguments.choice("new_status", STATUSES, "")
    if not status and task["status"] not in ACTIVE:
        return {"dequeued": 0, "fields": {}, "updated": 0}
    queue = task["execution"].get("queue")
    if queue and queues.remove(call.db, task_id):
        queues.touch_queue(call.db, documents.find(call.db, "queues", queue), call.now)
    before = task.pop("enqueue_status", None) or "created"
    fields = change(call, task, status or before)
    return {"dequeued": 1, "fields": {**fields, "enqueue_status": None}, "updated": 1}


def _queue_of(call: Call) -> Document:
    """Return the queue named by the call, else the default."""
    if "queue" in call.arguments:
        return queues.load_queue(call.db, call.arguments.text("queue"))
    if "queue_name" in call.arguments:
        return queues.ensure_queue(call.db, call.arguments.text("queue_name"), call.now)
    return queues.default_queue(call.db)
