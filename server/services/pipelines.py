"""The pipelines service: start a new run of a pipeline, as the web page does."""

import re
import sqlite3

from server import documents
from server.dispatch import Call, Service
from server.documents import Document
from server.errors import InvalidArgument
from server.requests import Arguments
from server.services.tasks.fields import clone_task
from server.services.tasks.status import enqueue_task
from server.stores.tasks import load_task

service = Service("pipelines")

NUMBERED = re.compile(r"(?P<base>.*?)(?: #(?P<number>\d{1,9}))?", re.DOTALL)


@service.writes("start_pipeline", "task", "queue", "args", "verify_watched_queue")
def start_pipeline(call: Call) -> Document:
    """Clone the run, set the clone's arguments and enqueue it if a queue is named."""
    source = load_task(call.db, call.arguments.text("task"))
    task = clone_task(source, Arguments({}), call.now)
    task["name"] = next_name(call.db, source)
    task["hyperparams"]["Args"] = task["hyperparams"].get("Args", {}) | _args(call)
    task |= {"status_reason": "", "status_message": ""}
    documents.insert(call.db, "tasks", task)
    if "queue" not in call.arguments:
        return {"pipeline": task["id"], "enqueued": False}
    queued = enqueue_task(call, task["id"])
    task = load_task(call.db, task["id"])
    task["status_message"] = "Starting pipeline"
    documents.save(call.db, "tasks", task)
    watched = {"queue_watched": queued["queue_watched"]} if "queue_watched" in queued else {}
    return {"pipeline": task["id"], "enqueued": True, **watched}


def next_name(db: sqlite3.Connection, source: Document) -> str:
    """Return the next numbered name in the project: ``run #7`` after ``run`` to ``run #6``."""
    match = NUMBERED.fullmatch(source["name"])
    base = match["base"] if match else source["name"]
    siblings = documents.where(
        db, "tasks", "project IS ? AND substr(name, 1, ?) = ?", (source.get("project"), len(base), base)
    )
    numbers = [_number(base, task["name"]) for task in siblings]
    return f"{base} #{max(numbers, default=1) + 1}"


def _number(base: str, name: str) -> int:
    match = NUMBERED.fullmatch(name)
    return int(match["number"] or 1) if match and match["base"] == base else 0


def _args(call: Call) -> Document:
    items: Document = {}
    for item in call.arguments.mappings("args"):
        name, value = item.get("name"), item.get("value")
        if not isinstance(name, str):
            raise InvalidArgument("Validation error: args: every item needs a name")
        items[name] = {"section": "Args", "name": name, "value": "" if value is None else str(value)}
    return items
