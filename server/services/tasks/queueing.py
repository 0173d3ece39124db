"""Tasks put on queues and taken off them."""

from server import documents
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidArgument, InvalidTaskStatus, TaskNotQueued
from server.services.bulk import each
from server.services.tasks.status import STATUSES, change, expected
from server.stores import queue_entries as entries
from server.stores import queues as queue_store
from server.stores.tasks import load_task

service = Service("tasks")

# What a task may be enqueued from without force.
ENQUEUES = frozenset({"created", "stopped", "failed", "completed", "closed", "unknown"})


@service.writes("enqueue")
def enqueue(call: Call) -> Document:
    """Put a task into a queue, by id, by name (made if there is none) or the default."""
    return enqueue_task(call, call.arguments.text("task"))


@service.writes("enqueue_many")
def enqueue_many(call: Call) -> Document:
    """Enqueue tasks; one that fails stops no other."""
    return each(
        call, call.arguments.texts("ids"), lambda task_id: {"enqueued": True, **enqueue_task(call, task_id)}
    )


@service.writes("dequeue")
def dequeue(call: Call) -> Document:
    """Take a task out of its queue; it becomes what it was before, or ``new_status``."""
    return _dequeue(call, call.arguments.text("task"))


@service.writes("dequeue_many")
def dequeue_many(call: Call) -> Document:
    """Dequeue tasks; one that fails stops no other."""
    return each(call, call.arguments.texts("ids"), lambda task_id: _dequeue(call, task_id))


def enqueue_task(call: Call, task_id: str) -> Document:
    """Put the task at the end of the call's queue; raises InvalidTaskStatus for one that runs or waits."""
    task = load_task(call.db, task_id)
    if task["status"] not in ENQUEUES and not (call.arguments.flag("force") and task["status"] != "queued"):
        raise InvalidTaskStatus(expected(task, ENQUEUES))
    queue = _queue_of(call, task)
    entries.push(call.db, queue["id"], task_id, call.now)
    queue_store.touch_queue(call.db, queue, call.now)
    before = task["status"]
    task["execution"]["queue"] = queue["id"]
    task["enqueue_status"] = before
    fields = change(call, task, "queued")
    data = {
        "fields": {**fields, "enqueue_status": before, "execution.queue": queue["id"]},
        "queued": 1,
        "updated": 1,
    }
    if call.arguments.flag("verify_watched_queue"):
        data["queue_watched"] = queue_store.is_watched(call.db, queue["id"])
    return data


def _queue_of(call: Call, task: Document) -> Document:
    """The queue named by the call, else the one the task was in before, else the default."""
    if "queue" in call.arguments:
        return queue_store.load_queue(call.db, call.arguments.text("queue"))
    if "queue_name" in call.arguments:
        return queue_store.ensure_queue(call.db, call.arguments.text("queue_name"), call.now)
    return queue_store.default_queue(call.db)


def _dequeue(call: Call, task_id: str) -> Document:
    """Take the task out of its queue. An agent does so for a task that it has popped already."""
    task = load_task(call.db, task_id)
    status = call.arguments.maybe_text("new_status")
    if status is not None and status not in STATUSES:
        raise InvalidArgument(f"Validation error: new_status: {status!r:.80} is not a status")
    if task["status"] != "queued" and status is None:
        raise TaskNotQueued(f"Task not queued: task={task_id} is {task['status']}")
    queue = task["execution"].get("queue")
    if queue and entries.remove(call.db, task_id):
        queue_store.touch_queue(call.db, documents.find(call.db, "queues", queue), call.now)
    before = task.pop("enqueue_status", None) or "created"
    fields = change(call, task, status or before)
    return {"dequeued": 1, "fields": {**fields, "enqueue_status": None}, "updated": 1}
