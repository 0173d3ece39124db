"""Nodes of a pipeline run: the controller's plan, the state of each step, and what the steps returned."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.documents import Document
from server.web.shell import text
from server.web.tasks import summary
from server.web.tasks.summary import read_object

ENDED = frozenset({"completed", "published", "publishing", "failed", "stopped", "closed"})
"""Statuses in which a run starts nothing more."""

STATES = {
    "created": "pending",
    "queued": "queued",
    "in_progress": "running",
    "completed": "completed",
    "published": "completed",
    "publishing": "completed",
    "closed": "completed",
    "failed": "failed",
    "stopped": "aborted",
}
"""The state of a step by its task's status in ClearML."""

GOOD = frozenset({"completed", "cached"})

Plan = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Node:
    """One step. `task` is the summary of its task, empty before it has one; `metrics` is JSON."""

    name: str
    status: str
    parents: tuple[str, ...] = ()
    queue: str = ""
    task: Document = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)
    metrics: str = ""

    @property
    def seconds(self) -> float | None:
        """How long the task has run, or None before it started."""
        return text.seconds(self.task) if self.task else None

    @property
    def path(self) -> str | None:
        """The address of the task's page, or None before there is a task."""
        return text.task_path(self.task) if self.task else None

    @property
    def scalars(self) -> dict[tuple[str, ...], float]:
        """Last values by (metric, variant), without those of the machine."""
        return {
            (entry["metric"], entry["variant"]): float(entry["value"])
            for entry in summary.metrics({"last_metrics": read_object(self.metrics)})
            if not entry["metric"].startswith(":")
        }


def step_state(node: Mapping[str, Any], task: Mapping[str, Any] | None, run: Mapping[str, Any]) -> str:
    """Return the state of a step: pending, queued, running, completed, cached, failed, aborted or skipped.

    Args:
        node: The step in the controller's plan; only `skip_job` counts.
        task: The step's task, with `parent` and `status`, or None before there is one.
        run: The controller's task, with `id` and `status`.
    """
    if node.get("skip_job") is True:
        return "skipped"
    if task and task["parent"] != run["id"]:
        return "cached"
    state = STATES.get(task["status"], "pending") if task else "pending"
    # Nothing starts a pending step after the controller has ended.
    return "skipped" if state == "pending" and run["status"] in ENDED else state


def read_plan(stored: object) -> Plan:
    """Return the DAG that a controller stored as JSON text; empty if there is none or it cannot be read."""
    return {name: node for name, node in read_object(stored).items() if isinstance(node, dict)}


def nodes(db: sqlite3.Connection, run: Document) -> list[Node]:
    """Return the nodes of a run, in the order of its plan."""
    return nodes_of_runs(db, [(run, stored_text(run, "Pipeline"))])[0]


def nodes_of_runs(db: sqlite3.Connection, runs: list[tuple[Document, object]]) -> list[list[Node]]:
    """Return the nodes of several runs, given with their stored plans, reading all their tasks at once.

    A clone starts with the plan of its source; until its controller has stored its own, it has no nodes.
    """
    plans = [read_plan(stored) for _, stored in runs]
    tasks = _tasks(db, [task_id for plan in plans for node in plan.values() if (task_id := _task_id(node))])
    return [
        []
        if _is_inherited(db, run, stored, [tasks.get(_task_id(node) or "", {}) for node in plan.values()])
        else [_node(run, name, node, tasks) for name, node in plan.items()]
        for (run, stored), plan in zip(runs, plans, strict=True)
    ]


def _is_inherited(db: sqlite3.Connection, run: Document, stored: object, steps: list[Document]) -> bool:
    """Return True if the plan is that of the run's source, with none of the run's own steps in it.

    A controller that completed has stored its own plan, which equals its source's if all came from the cache.
    """
    if run["status"] in summary.COMPLETED or any(step and step["parent"] == run["id"] for step in steps):
        return False
    sql = (
        "SELECT json_extract(doc, '$.configuration.Pipeline.value') AS plan FROM tasks"
        " WHERE id = ? AND type = 'controller'"
    )
    source = db.execute(sql, (run.get("parent"),)).fetchone()
    return source is not None and (not run.get("started") or source["plan"] == stored)


def reasons(run: Document) -> dict[str, str]:
    """Return by step why it ran or did not, as the controller stored it; other pipelines store nothing."""
    stored = read_object(stored_text(run, "why"))
    return {name: reason for name, reason in stored.items() if isinstance(reason, str)}


def stored_text(run: Document, name: str) -> object:
    """Return the value of a configuration object of a run, or None."""
    item = run.get("configuration", {}).get(name, {})
    return item.get("value") if isinstance(item, dict) else None


def _tasks(db: sqlite3.Connection, ids: list[str]) -> dict[str, Document]:
    rows = db.execute(
        f"SELECT {summary.columns(summary.FIELDS)}, json_extract(doc, '$.hyperparams.return') AS returned,"
        " json_extract(doc, '$.last_metrics') AS metrics"
        " FROM tasks WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    )
    return {row["id"]: dict(row) for row in rows}


def _node(run: Document, name: str, node: dict[str, Any], tasks: dict[str, Document]) -> Node:
    task = tasks.get(_task_id(node) or "", {})
    parents, queue = node.get("parents"), node.get("queue")
    return Node(
        name=name,
        status=step_state(node, task, run),
        parents=tuple(name for name in parents if isinstance(name, str)) if isinstance(parents, list) else (),
        queue=queue if isinstance(queue, str) else "",
        task={name: task[name] for name in summary.FIELDS} if task else {},
        returned=_returned(task.get("returned")),
        metrics=task.get("metrics") or "",
    )


def _task_id(node: dict[str, Any]) -> str | None:
    task_id = node.get("executed") or node.get("job_id")
    return task_id if isinstance(task_id, str) else None


def _returned(stored: object) -> dict[str, str]:
    items = read_object(stored)
    return {name: str(item.get("value", "")) for name, item in items.items() if isinstance(item, dict)}
