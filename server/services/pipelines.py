"""The pipelines service: start a new run of a pipeline, and delete runs."""

import re
import sqlite3
from contextlib import suppress
from dataclasses import replace

from server import documents
from server.dispatch import Call, Service, bulk
from server.documents import Document
from server.errors import InvalidArgument
from server.requests import Arguments
from server.services.tasks.fields import clone_task
from server.services.tasks.removal import delete
from server.services.tasks.status import enqueue_task
from server.stores.events import delete_some
from server.stores.projects import load_project
from server.stores.tasks import InvalidTask, load_task, pipeline_steps

service = Service("pipelines")

NUMBERED = re.compile(r"(?P<base>.*?)(?: #(?P<number>\d{1,9}))?", re.DOTALL)


class NoRun(InvalidArgument, subcode=12):
    """The task is not the controller of a pipeline's run."""


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


@service.writes("delete_runs", "ids", "project", "delete_output_models", "return_file_urls")
def delete_runs(call: Call) -> Document:
    """Delete runs of a pipeline with their steps, whatever their status.

    Raises:
        InvalidArgument: They are all the runs of ``project``; one must be left.
    """
    _check_one_is_left(call)
    arguments = call.arguments.replaced("force", True).replaced("include_pipeline_steps", True)
    everything = replace(call, arguments=arguments)
    return bulk(everything, lambda task_id: delete(everything, _run(call, task_id)["id"]))


@service.in_slices("delete_runs")
def delete_events(call: Call) -> int:
    """Delete some events of the runs and their steps; ids of other tasks are reported."""
    _check_one_is_left(call)
    tasks: list[str] = []
    for task_id in call.arguments.texts("ids"):
        with suppress(InvalidTask, NoRun):
            tasks += [task_id, *(step["id"] for step in pipeline_steps(call.db, _run(call, task_id)))]
    return delete_some(call.db, tasks)


def _run(call: Call, task_id: str) -> Document:
    task = load_task(call.db, task_id)
    if task["type"] != "controller":
        raise NoRun(f"Validation error: task {task_id} is of type {task['type']}, no run of a pipeline")
    return task


def _check_one_is_left(call: Call) -> None:
    if "project" not in call.arguments:
        return
    project = load_project(call.db, call.arguments.text("project"))
    runs = documents.where(call.db, "tasks", "project = ? AND type = 'controller'", (project["id"],))
    if {run["id"] for run in runs} <= set(call.arguments.texts("ids")):
        raise InvalidArgument("Validation error: ids: one run of the pipeline must be left")


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
