"""What the pages show, taken from the documents; everything in them was written by somebody else."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from server import clock, documents
from server.documents import Document

RUNS_SHOWN = 100
LOG_LINES_SHOWN = 400
LINKED_SCHEMES = frozenset({"http", "https"})


@dataclass(frozen=True)
class Step:
    """One node of a pipeline, as its controller last described it."""

    name: str
    status: str
    task: str | None


@dataclass(frozen=True)
class TaskSummary:
    """One line of a list of tasks; ``duration`` reads h:mm:ss."""

    id: str
    name: str
    project_id: str
    project: str
    status: str
    started: str
    duration: str
    steps: list[Step]


def runs(db: sqlite3.Connection) -> list[TaskSummary]:
    """The latest pipeline runs, newest first."""
    archived = "EXISTS (SELECT 1 FROM json_each(doc, '$.system_tags') WHERE value = 'archived')"
    found = documents.where(
        db, "tasks", f"type = 'controller' AND NOT {archived} ORDER BY rowid DESC LIMIT ?", (RUNS_SHOWN,)
    )
    return _summaries(db, found)


def children(db: sqlite3.Connection, task: Document) -> list[TaskSummary]:
    return _summaries(db, documents.where(db, "tasks", "parent = ? ORDER BY rowid LIMIT 500", (task["id"],)))


def steps(task: Document) -> list[Step]:
    """The nodes of the pipeline; none for what is no pipeline, or one whose description cannot be read."""
    text = task["configuration"].get("Pipeline", {}).get("value")
    try:
        nodes = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return []
    if not isinstance(nodes, dict):
        return []
    return [_step(name, node) for name, node in nodes.items() if isinstance(node, dict)]


def parameters(task: Document) -> Iterator[tuple[str, str, str]]:
    """(section, name, value) of every parameter."""
    for section, items in sorted(task["hyperparams"].items()):
        for name, item in sorted(items.items()):
            yield section, name, str(item.get("value", ""))


def metrics(task: Document) -> list[Document]:
    entries = [entry for variants in task["last_metrics"].values() for entry in variants.values()]
    return sorted(entries, key=lambda entry: (entry["metric"], entry["variant"]))


def artifacts(task: Document) -> Iterator[tuple[str, str, str, str | None]]:
    """(key, type, size, link) of every artifact."""
    for artifact in task["execution"].get("artifacts", []):
        size = artifact.get("content_size")
        readable = _size(size) if isinstance(size, int) else ""
        yield artifact["key"], str(artifact.get("type", "")), readable, link(artifact.get("uri"))


def models(db: sqlite3.Connection, task: Document) -> Iterator[tuple[str, str, str | None]]:
    """(side, name, link) of the task's models."""
    for side in ("input", "output"):
        for item in task["models"].get(side, []):
            model = documents.find(db, "models", item["model"]) or {}
            yield side, model.get("name") or item["name"], link(model.get("uri"))


def log_tail(db: sqlite3.Connection, task: Document) -> list[str]:
    """The last lines of the task's log, oldest first."""
    rows = db.execute(
        "SELECT json_extract(doc, '$.msg') AS msg FROM events WHERE task = ? AND type = 'log'"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task["id"], LOG_LINES_SHOWN),
    ).fetchall()
    lines = [line for row in reversed(rows) for line in str(row["msg"] or "").splitlines()]
    return lines[-LOG_LINES_SHOWN:]


def link(uri: object) -> str | None:
    """``uri`` if a browser may follow it: a task can hold any text there, javascript: too."""
    return uri if isinstance(uri, str) and urlsplit(uri).scheme in LINKED_SCHEMES else None


def duration(task: Document) -> str:
    started = task.get("started")
    if not isinstance(started, str):
        return ""
    ended = task.get("completed") if task["status"] != "in_progress" else None
    return str(timedelta(seconds=clock.seconds_between(started, ended or task["last_update"])))


def _summaries(db: sqlite3.Connection, found: list[Document]) -> list[TaskSummary]:
    names = documents.names(db, "projects", [task["project"] for task in found if task.get("project")])
    return [
        TaskSummary(
            id=task["id"],
            name=task["name"],
            project_id=task.get("project") or "*",
            project=names.get(task.get("project", ""), "").replace("/.pipelines/", " / "),
            status=task["status"],
            started=task.get("started") or task["created"],
            duration=duration(task),
            steps=steps(task),
        )
        for task in found
    ]


def _step(name: str, node: dict[str, Any]) -> Step:
    executed = node.get("executed") or node.get("job_id")
    status = "skipped" if node.get("skip_job") is True else str(node.get("status") or "pending")
    return Step(name, status, executed if isinstance(executed, str) else None)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
