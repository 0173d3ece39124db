"""The nodes of a pipeline run: what the controller planned, and what became of each."""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from server.documents import Document
from server.web.shell import text

ENDED = frozenset({"completed", "published", "failed", "stopped", "closed"})
STATES = {
    "created": "pending",
    "queued": "queued",
    "in_progress": "running",
    "completed": "completed",
    "published": "completed",
    "closed": "completed",
    "failed": "failed",
    "stopped": "aborted",
}
GOOD = frozenset({"completed", "cached"})
# Of a task's document, the little that a node needs: a task can be large, and a run has many.
FIELDS = (
    "id",
    "name",
    "project",
    "parent",
    "status",
    "type",
    "started",
    "completed",
    "last_update",
    "created",
    "status_reason",
)


@dataclass(frozen=True)
class Node:
    """One step. ``task`` is the little that a list shows of its task; empty before there is one."""

    name: str
    status: str
    parents: tuple[str, ...] = ()
    queue: str = ""
    task: Document = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long the task has worked, or None before it started."""
        return text.seconds(self.task) if self.task else None

    @property
    def path(self) -> str | None:
        """The task's page, or None while there is no task."""
        return text.task_path(self.task) if self.task else None

    @property
    def stage(self) -> str:
        """The stage that the step belongs to: `train` for `train_resnet18`."""
        return self.name.partition("_")[0]


def nodes(db: sqlite3.Connection, run: Document) -> list[Node]:
    """The nodes of the run, in the order of its plan."""
    return nodes_of_runs(db, [(run, planned(run))])[0]


def planned(run: Document) -> dict[str, dict[str, Any]]:
    """The plan that the controller stored; nothing for what is no pipeline or cannot be read."""
    item = run.get("configuration", {}).get("Pipeline", {})
    return read_plan(item.get("value") if isinstance(item, dict) else None)


def reasons(run: Document) -> dict[str, str]:
    """Why each step ran or did not, as the controller wrote it down; nothing for pipelines that do not."""
    item = run.get("configuration", {}).get("why", {})
    told = read_object(item.get("value") if isinstance(item, dict) else None)
    return {name: reason for name, reason in told.items() if isinstance(reason, str)}


def read_plan(stored: object) -> dict[str, dict[str, Any]]:
    """The DAG that a controller stored as JSON text; empty where there is none that can be read."""
    return {name: node for name, node in read_object(stored).items() if isinstance(node, dict)}


def read_object(stored: object) -> dict[str, Any]:
    """The JSON object of a text; empty where there is none that can be read."""
    try:
        found = json.loads(stored) if isinstance(stored, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def nodes_of_runs(
    db: sqlite3.Connection, runs: list[tuple[Document, dict[str, dict[str, Any]]]]
) -> list[list[Node]]:
    """The nodes of several runs, whose tasks are read at once."""
    ids = [task_id for _, plan in runs for node in plan.values() if (task_id := _task_id(node))]
    tasks = _tasks(db, ids)
    return [[_node(run, name, node, tasks) for name, node in plan.items()] for run, plan in runs]


def _tasks(db: sqlite3.Connection, ids: list[str]) -> dict[str, Document]:
    columns = ", ".join(f"json_extract(doc, '$.{name}') AS {name}" for name in FIELDS)
    rows = db.execute(
        f"SELECT {columns}, json_extract(doc, '$.hyperparams.return') AS returned FROM tasks"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    )
    return {row["id"]: dict(row) for row in rows}


def _node(run: Document, name: str, node: dict[str, Any], tasks: dict[str, Document]) -> Node:
    task = tasks.get(_task_id(node) or "", {})
    parents = node.get("parents")
    known = (
        tuple(parent for parent in parents if isinstance(parent, str)) if isinstance(parents, list) else ()
    )
    queue = node.get("queue")
    return Node(
        name=name,
        status=_status(run, node, task),
        parents=known,
        queue=queue if isinstance(queue, str) else "",
        task={field: task[field] for field in FIELDS} if task else {},
        returned=_returned(task.get("returned")),
    )


def _status(run: Document, node: dict[str, Any], task: Document) -> str:
    if node.get("skip_job") is True:
        return "skipped"
    if not task:
        return "skipped" if run["status"] in ENDED else "pending"
    if task["parent"] != run["id"]:
        return "cached"
    return STATES.get(task["status"], "pending")


def _task_id(node: dict[str, Any]) -> str | None:
    found = node.get("executed") or node.get("job_id")
    return found if isinstance(found, str) else None


def _returned(stored: object) -> dict[str, str]:
    items = json.loads(stored) if isinstance(stored, str) else {}
    return {name: str(item.get("value", "")) for name, item in items.items() if isinstance(item, dict)}
