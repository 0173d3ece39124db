"""The workers service: agents make themselves known and say what they run."""

from server import documents, identity
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidWorker
from server.stores import queue_entries as entries
from server.stores.queues import is_alive
from server.stores.tasks import load_task, save_task, touch

service = Service("workers", version="2.4")

TIMEOUT = 600


@service.writes("register")
def register(call: Call) -> Document:
    """A worker says that it is there, which queues it serves, and its ``timeout`` of silence in seconds."""
    worker = _known(call) | {
        "queues": call.arguments.texts("queues"),
        "timeout": max(1, call.arguments.integer("timeout", TIMEOUT)),
        "register_time": call.now,
    }
    _save(call, worker)
    return {}


@service.writes("unregister")
def unregister(call: Call) -> Document:
    """A worker says good-bye."""
    worker_id = call.arguments.text("worker")
    if not documents.delete(call.db, "workers", worker_id):
        raise InvalidWorker(f"Worker is not registered: worker={worker_id}")
    return {}


@service.writes("status_report")
def status_report(call: Call) -> Document:
    """A sign of life of a worker, and of the task that it runs."""
    worker = _known(call)
    task_id = call.arguments.maybe_text("task")
    if task_id:
        task = load_task(call.db, task_id)
        task |= {"last_worker": worker["id"], "last_worker_report": call.now}
        touch(task, call.now)
        save_task(call.db, task)
    worker |= {"task": task_id, "queue": call.arguments.maybe_text("queue"), "last_report_time": call.now}
    if "queues" in call.arguments:
        worker["queues"] = call.arguments.texts("queues")
    if "machine_stats" in call.arguments:
        worker["machine_stats"] = call.arguments.mapping("machine_stats")
    _save(call, worker)
    return {}


@service.reads("get_all")
def get_all(call: Call) -> Document:
    """The living workers, with what they run and the queues that they serve."""
    longest = call.arguments.integer("last_seen", 0)
    return {"workers": [_described(call, worker) for worker in _alive(call, longest)]}


@service.reads("get_count")
def get_count(call: Call) -> Document:
    """How many workers are alive."""
    return {"count": len(_alive(call, call.arguments.integer("last_seen", 0)))}


def _alive(call: Call, longest: int) -> list[Document]:
    """Workers heard of within their own timeout, and within ``longest`` seconds where that is given."""
    workers = documents.where(call.db, "workers", "1 ORDER BY id")
    return [worker for worker in workers if is_alive(worker | ({"timeout": longest} if longest > 0 else {}))]


def _known(call: Call) -> Document:
    """What is known of the calling worker; one never heard of is known from now on."""
    worker_id = call.arguments.text("worker")
    fresh: Document = {
        "id": worker_id,
        "user": identity.USER,
        "company": identity.COMPANY,
        "key": f"worker_{identity.COMPANY}_{identity.USER}_{worker_id}",
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


def _described(call: Call, worker: Document) -> Document:
    """A worker with its queues and its task by name."""
    task = documents.find(call.db, "tasks", worker["task"]) if worker.get("task") else None
    described = {
        **worker,
        "company": {"id": identity.COMPANY, "name": identity.COMPANY_NAME},
        "user": {"id": identity.USER, "name": identity.USER_NAME},
        "queues": [_watched(call, worker_id) for worker_id in worker["queues"]],
        "task": None,
        "project": None,
    }
    if task:
        running = {
            "id": task["id"],
            "name": task["name"],
            "running_time": task.get("active_duration", 0) * 1000,
        }
        described["task"] = running | {"last_iteration": task["last_iteration"]}
        names = documents.names(call.db, "projects", [task.get("project") or ""])
        described["project"] = {"id": task.get("project"), "name": names.get(task.get("project") or "")}
    return described


def _watched(call: Call, worker_id: str) -> Document:
    waiting = entries.entries_of(call.db, worker_id)
    name = documents.names(call.db, "queues", [worker_id]).get(worker_id)
    return {
        "id": worker_id,
        "name": name,
        "num_tasks": len(waiting),
        "next_task": waiting[0]["task"] if waiting else None,
    }
