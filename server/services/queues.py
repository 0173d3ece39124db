"""The queues service."""

from collections.abc import Callable

from server import documents
from server.answers import answer, fetch
from server.dispatch import Call, Service
from server.documents import Document, has_system_tag
from server.errors import BadRequest, NotUnique
from server.query import translate
from server.services.tasks.status import change, enqueue_task
from server.stores import queues
from server.stores.queues import QUEUES, ensure_queue, load_queue, touch_queue, watchers, with_entries
from server.stores.tasks import load_task, save_task

service = Service("queues", version="2.4")

FOUND = ("search_hidden", *QUEUES.arguments)
KUBERNETES = "k8s-glue"


class QueueNotEmpty(BadRequest, subcode=702):
    """A queue with tasks is deleted only with ``force``."""


@service.reads("get_by_id", "queue", "max_task_entries")
def get_by_id(call: Call) -> Document:
    """Return one queue with its entries; a name instead of an id is an error, as clients expect."""
    limit = call.arguments.integer("max_task_entries", -1)
    return {"queue": with_entries(call.db, _queue(call), limit)}


@service.reads("get_all", "max_task_entries", *FOUND)
def get_all(call: Call) -> Document:
    """Return the queues that match the filters, with their entries."""
    page, scroll = _page(call)
    limit = call.arguments.integer("max_task_entries", -1)
    return answer(QUEUES, call.arguments, [with_entries(call.db, queue, limit) for queue in page], scroll)


@service.reads("get_all_ex", "max_task_entries", *FOUND)
def get_all_ex(call: Call) -> Document:
    """Return the same as ``get_all``, with the tasks' names and the workers that serve the queue."""
    page, scroll = _page(call)
    return answer(QUEUES, call.arguments, [_extended(call, queue) for queue in page], scroll)


@service.reads("get_default")
def get_default(call: Call) -> Document:
    """Return the queue that ``tasks.enqueue`` uses if none is named."""
    queue = queues.default_queue(call.db)
    return {"id": queue["id"], "name": queue["name"]}


@service.reads("get_num_entries", "queue")
def get_num_entries(call: Call) -> Document:
    """Return the number of waiting tasks."""
    return {"num": queues.count(call.db, _queue(call)["id"])}


@service.reads("peek_task", "queue")
def peek_task(call: Call) -> Document:
    """Return the first waiting task without removing it."""
    waiting = queues.entries_of(call.db, _queue(call)["id"], limit=1)
    return {"task": waiting[0]["task"] if waiting else None}


@service.writes("create", "name", "tags", "system_tags")
def create(call: Call) -> Document:
    """Create a queue; raises NotUnique if the name is taken."""
    name = call.arguments.text("name")
    if documents.named(call.db, "queues", name):
        raise NotUnique("name", name)
    queue = ensure_queue(call.db, name, call.now, tuple(call.arguments.texts("system_tags")))
    documents.save(call.db, "queues", {**queue, "tags": call.arguments.texts("tags")})
    return {"id": queue["id"]}


@service.writes("update", "queue", "name", "tags", "system_tags")
def update(call: Call) -> Document:
    """Rename or tag a queue."""
    queue = _queue(call)
    fields: Document = {}
    if "name" in call.arguments:
        fields["name"] = call.arguments.text("name")
        queues.check_queue_name(fields["name"])
        other = documents.named(call.db, "queues", fields["name"])
        if other and other["id"] != queue["id"]:
            raise NotUnique("name", fields["name"])
    for name in ("tags", "system_tags"):
        if name in call.arguments:
            fields[name] = call.arguments.texts(name)
    touch_queue(call.db, queue | fields, call.now)
    return {"fields": fields, "updated": 1}


@service.writes("delete", "queue", "force")
def delete(call: Call) -> Document:
    """Delete a queue; one with tasks needs ``force``, which restores their earlier status."""
    queue = _queue(call)
    waiting = queues.entries_of(call.db, queue["id"])
    if waiting and not call.arguments.flag("force"):
        raise QueueNotEmpty(f"Queue is not empty: id={queue['id']}, use force=true to delete")
    for entry in waiting:
        _unqueue(call, entry["task"])
    documents.delete(call.db, "queues", queue["id"])
    return {"deleted": 1}


@service.writes("add_task", "queue", "task")
def add_task(call: Call) -> Document:
    """Append a task to this queue."""
    _queue(call)
    enqueue_task(call, call.arguments.text("task"))
    return {"added": 1}


@service.writes("remove_task", "queue", "task")
def remove_task(call: Call) -> Document:
    """Take a task out of this queue and restore its earlier status."""
    queue = _queue(call)
    queues.index_of(call.db, queue["id"], call.arguments.text("task"))
    _unqueue(call, call.arguments.text("task"))
    touch_queue(call.db, queue, call.now)
    return {"removed": 1}


@service.writes("get_next_task", "queue", "get_task_info")
def get_next_task(call: Call) -> Document:
    """Pop the next task for an agent; it stays "queued" until the agent starts it."""
    queue = _queue(call)
    entry = queues.pop(call.db, queue["id"])
    if entry is None:
        return {}
    touch_queue(call.db, queue, call.now)
    task = load_task(call.db, entry["task"])
    save_task(call.db, task, call.now)
    info = {"company": documents.COMPANY, "user": documents.USER}
    return {"entry": entry} | ({"task_info": info} if call.arguments.flag("get_task_info") else {})


@service.writes("move_task_to_front", "queue", "task")
def move_task_to_front(call: Call) -> Document:
    """Move a task to the front."""
    return _move(call, lambda index: 0)


@service.writes("move_task_to_back", "queue", "task")
def move_task_to_back(call: Call) -> Document:
    """Move a task to the back."""
    return _move(call, lambda index: queues.count(call.db, call.arguments.text("queue")))


@service.writes("move_task_forward", "queue", "task", "count")
def move_task_forward(call: Call) -> Document:
    """Move a task ``count`` places towards the front."""
    return _move(call, lambda index: index - call.arguments.integer("count", 1))


@service.writes("move_task_backward", "queue", "task", "count")
def move_task_backward(call: Call) -> Document:
    """Move a task ``count`` places towards the back."""
    return _move(call, lambda index: index + call.arguments.integer("count", 1))


def _queue(call: Call) -> Document:
    return load_queue(call.db, call.arguments.text("queue"))


def _move(call: Call, target: Callable[[int], int]) -> Document:
    queue, task = _queue(call)["id"], call.arguments.text("task")
    index = queues.index_of(call.db, queue, task)
    return {"position": queues.move(call.db, queue, task, target(index))}


def _unqueue(call: Call, task_id: str) -> None:
    """Take the task out of its queue and restore its earlier status."""
    queues.remove(call.db, task_id)
    task = load_task(call.db, task_id)
    change(call, task, task.pop("enqueue_status", None) or "created")


def _page(call: Call) -> tuple[list[Document], str | None]:
    """Return the queues that match the filters; those of Kubernetes' agents only with ``search_hidden``."""
    query = translate(QUEUES, call.arguments)
    if not call.arguments.flag("search_hidden"):
        query.add(f"NOT {has_system_tag(KUBERNETES)}")
    return fetch(call.db, QUEUES, call.arguments, query)


def _extended(call: Call, queue: Document) -> Document:
    waiting = queues.entries_of(call.db, queue["id"], call.arguments.integer("max_task_entries", -1))
    names = documents.names(call.db, "tasks", [entry["task"] for entry in waiting])
    items = [{**entry, "task": {"id": entry["task"], "name": names.get(entry["task"])}} for entry in waiting]
    serving = [
        {"name": worker["id"], "ip": worker["ip"], "key": worker["key"], "task": worker.get("task")}
        for worker in watchers(call.db, queue["id"])
    ]
    return {**queue, "company": {"id": documents.COMPANY}, "entries": items, "workers": serving}
