"""The workers service: agents register and report what they run."""

import re

from server import documents
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import BadRequest
from server.list_filters import Field, list_condition
from server.query import TAGS, Query
from server.stores import queues
from server.stores.tasks import load_task, save_task

service = Service("workers", version="2.4")

FOUND = ("last_seen", "worker_pattern", *TAGS)
TIMEOUT = 600
DAY = 24 * 3600
LATEST_SECONDS = 10**11
"""A larger timestamp is in milliseconds."""


class InvalidWorker(BadRequest, subcode=1001):
    """No worker of this name is registered."""


@service.writes("register", "worker", "queues", "timeout", *TAGS)
def register(call: Call) -> Document:
    """Register a worker with its queues and its ``timeout`` of silence in seconds."""
    worker = _worker_of(call) | {
        "queues": call.arguments.texts("queues"),
        "timeout": max(1, call.arguments.integer("timeout", TIMEOUT)),
        "register_time": call.now,
    }
    _save(call, worker)
    return {}


@service.writes("unregister", "worker", "queues")
def unregister(call: Call) -> Document:
    """Remove a worker; raises InvalidWorker if it is unknown."""
    worker_id = call.arguments.text("worker")
    if not documents.delete(call.db, "workers", worker_id):
        raise InvalidWorker(f"Worker is not registered: worker={worker_id}")
    return {}


@service.writes("status_report", "worker", "task", "queue", "queues", "timestamp", "machine_stats", *TAGS)
def status_report(call: Call) -> Document:
    """Record a sign of life of a worker and of the task that it runs."""
    worker = _worker_of(call)
    task_id = call.arguments.maybe_text("task")
    if task_id:
        task = load_task(call.db, task_id)
        task |= {"last_worker": worker["id"], "last_worker_report": call.now}
        save_task(call.db, task, call.now)
    worker |= {"task": task_id, "queue": call.arguments.maybe_text("queue"), "last_report_time": call.now}
    if "queues" in call.arguments:
        worker["queues"] = call.arguments.texts("queues")
    if "machine_stats" in call.arguments:
        worker["machine_stats"] = call.arguments.mapping("machine_stats")
    _save(call, worker)
    call.db.execute(
        "INSERT INTO worker_reports (worker, time, task, stats) VALUES (?, ?, ?, ?)",
        (
            worker["id"],
            _report_time(call),
            task_id,
            documents.dump(call.arguments.mapping("machine_stats")),
        ),
    )
    return {}


@service.reads("get_all", *FOUND)
def get_all(call: Call) -> Document:
    """Return the living workers, with their tasks and queues; filtered by tags and ``worker_pattern``."""
    return {"workers": [_described(call, worker) for worker in _alive(call)]}


@service.reads("get_count", *FOUND)
def get_count(call: Call) -> Document:
    """Return the number of living workers."""
    return {"count": len(_alive(call))}


def _alive(call: Call) -> list[Document]:
    """Return the workers that reported within their own timeout and the call's ``last_seen``, in seconds."""
    longest = call.arguments.integer("last_seen", 0)
    pattern = call.arguments.maybe_text("worker_pattern") or "*"
    named = re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
    query = Query()
    for name in TAGS:
        if name in call.arguments:
            sql, values = list_condition(Field(name, f"$.{name}", many=True), call.arguments.values(name))
            query.add(sql, *values)
    workers = documents.where(call.db, "workers", f"{query.where} ORDER BY id", query.parameters)
    return [
        worker
        for worker in workers
        if named.fullmatch(worker["id"])
        and queues.is_alive(worker)
        and (longest <= 0 or queues.is_alive(worker | {"timeout": longest}))
    ]


def _worker_of(call: Call) -> Document:
    """Return the calling worker's document, a new one for an unknown worker."""
    worker_id = call.arguments.text("worker")
    fresh: Document = {
        "id": worker_id,
        "user": documents.USER,
        "company": documents.COMPANY,
        "key": f"worker_{documents.COMPANY}_{documents.USER}_{worker_id}",
        "queues": [],
        "timeout": TIMEOUT,
        "register_time": call.now,
        "tags": [],
        "system_tags": [],
    }
    worker = fresh | (documents.find(call.db, "workers", worker_id) or {})
    for name in ("tags", "system_tags"):
        if name in call.arguments:
            worker[name] = call.arguments.texts(name)
    return worker | {"ip": call.address, "last_activity_time": call.now}


def _save(call: Call, worker: Document) -> None:
    sql = "INSERT INTO workers (id, doc) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc"
    call.db.execute(sql, (worker["id"], documents.dump(worker)))


def _report_time(call: Call) -> float:
    """Return the time of the report in seconds since the epoch; agents send milliseconds.

    A clock that is wrong by more than a day is not believed.
    """
    received = documents.parse_time(call.now).timestamp()
    reported = float(call.arguments.integer("timestamp", 0))
    reported /= 1000 if reported > LATEST_SECONDS else 1
    return reported if abs(reported - received) < DAY else received


def _described(call: Call, worker: Document) -> Document:
    """Return a worker with its queues and its task by name."""
    task = documents.find(call.db, "tasks", worker["task"]) if worker.get("task") else None
    described = {
        **worker,
        "company": documents.COMPANY_REFERENCE,
        "user": documents.USER_REFERENCE,
        "queue": _served_queue(call, worker["queue"]) if worker.get("queue") else None,
        "queues": [_served_queue(call, queue_id) for queue_id in worker["queues"]],
        "task": None,
        "project": None,
    }
    if task:
        described["task"] = {
            "id": task["id"],
            "name": task["name"],
            "running_time": task.get("active_duration", 0) * 1000,
            "last_iteration": task["last_iteration"],
        }
        names = documents.names(call.db, "projects", [task.get("project") or ""])
        described["project"] = {"id": task.get("project"), "name": names.get(task.get("project") or "")}
    return described


def _served_queue(call: Call, queue_id: str) -> Document:
    waiting = queues.entries_of(call.db, queue_id)
    name = documents.names(call.db, "queues", [queue_id]).get(queue_id)
    return {
        "id": queue_id,
        "name": name,
        "num_tasks": len(waiting),
        "next_task": waiting[0]["task"] if waiting else None,
    }
