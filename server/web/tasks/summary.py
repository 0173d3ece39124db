"""Summaries of a task: the few fields that a list shows, its parameters, metrics, artifacts and models."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from server import documents
from server.documents import Document
from server.requests import check_depth
from server.web.shell import text

MAX_PREVIEW = 20_000
# A task can be large and a list has many: read only what a line of a list needs.
FIELDS = (
    "id", "name", "project", "parent", "status", "type", "created", "started", "completed", "last_update",
    "status_reason", "status_message", "comment",
)  # fmt: skip

RETURNED = "return"
"""Section of the parameters in which the SDK keeps what the function of a step returned."""

COMPLETED = frozenset({"completed", "published", "publishing"})


@dataclass(frozen=True)
class Parameter:
    """One parameter of a task; `entries` are those of a JSON object."""

    section: str
    name: str
    value: str
    type: str
    description: str
    entries: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """A file that a task uploaded, at `uri`."""

    key: str
    type: str
    size: str
    uri: str
    preview: str
    digest: str


def columns(fields: Iterable[str]) -> str:
    """Return the SQL columns that read top-level fields of a document."""
    return ", ".join(f"json_extract(doc, '$.{name}') AS {name}" for name in fields)


def summary(task: Document) -> Document:
    """Return the FIELDS of a whole task."""
    return {name: task.get(name) for name in FIELDS}


def find(db: sqlite3.Connection, task_id: str | None) -> Document | None:
    """Return the summary of a task, or None if it does not exist."""
    task = documents.find(db, "tasks", task_id or "")
    return summary(task) if task else None


def value(item: Document) -> str:
    """Return a parameter's value as text."""
    stored = item.get("value", "")
    return stored if isinstance(stored, str) else "" if stored is None else json.dumps(stored)


def read_object(stored: object) -> dict[str, Any]:
    """Return the JSON object in a text; empty if there is none or it cannot be read."""
    try:
        parsed = json.loads(stored) if isinstance(stored, str) else {}
        check_depth(parsed)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def entries(stored: str) -> dict[str, str]:
    """Return the entries of a parameter that holds a JSON object, each written as ClearML writes values.

    So `epochs` reads the same where it is an entry of `training` and where it is a parameter of its own.
    """
    items = read_object(stored) if stored.startswith("{") else {}
    return {name: _scalar(item) for name, item in items.items()}


def parameters(task: Document, section: str) -> list[Parameter]:
    """Return the parameters in one section of a task."""
    stored: Document = task["hyperparams"].get(section, {})
    return [_parameter(section, name, item) for name, item in stored.items()]


def sections(task: Document) -> list[tuple[str, list[Parameter]]]:
    """Return the parameters by section, `Args` first and what the task returned last.

    What a task that did not complete has as `return` is that of the task it was cloned from.
    """
    stored = task["hyperparams"].keys() - (set() if task["status"] in COMPLETED else {RETURNED})
    names = sorted(stored, key=lambda name: (name == RETURNED, name != "Args", name.lower()))
    return [(name, parameters(task, name)) for name in names]


def metrics(task: Document) -> list[Document]:
    """Return the last values of all metrics, those of the machine last."""
    entries = [entry for variants in task["last_metrics"].values() for entry in variants.values()]
    return sorted(
        entries, key=lambda entry: (entry["metric"].startswith(":"), entry["metric"], entry["variant"])
    )


def artifacts(task: Document) -> list[Artifact]:
    """Return the artifacts of a task, with their previews."""
    return [_artifact(item) for item in task["execution"].get("artifacts", [])]


def models(db: sqlite3.Connection, task: Document) -> Iterator[tuple[str, Document]]:
    """Yield (input or output, model); a model that was deleted has only a name."""
    for side in ("input", "output"):
        for item in task["models"].get(side, []):
            yield side, documents.find(db, "models", item["model"]) or {"name": item["name"]}


def _parameter(section: str, name: str, item: Document) -> Parameter:
    shown = value(item)
    return Parameter(
        section=section,
        name=name,
        value=shown,
        type=str(item.get("type") or ""),
        description=str(item.get("description") or ""),
        entries=entries(shown),
    )


def _artifact(item: Document) -> Artifact:
    data = item.get("type_data")
    preview = data.get("preview") if isinstance(data, dict) else None
    return Artifact(
        key=item["key"],
        type=str(item.get("type", "")),
        size=text.size(item.get("content_size")),
        uri=str(item.get("uri") or ""),
        preview=preview[:MAX_PREVIEW] if isinstance(preview, str) else "",
        digest=str(item.get("hash") or ""),
    )


def _scalar(item: object) -> str:
    if isinstance(item, (dict, list)):
        return json.dumps(item)
    return "" if item is None else str(item)
