"""Two or more runs or tasks side by side."""

import json
from dataclasses import dataclass

from server import documents
from server.documents import Document
from server.web.runs import nodes, runs
from server.web.runs.scores import scores
from server.web.shell.section import Shown, Visit
from server.web.tasks import figures as plots

MOST = 10
UNCOMPARED = frozenset({"return", "properties"})


def spread(name: str, value: str) -> dict[str, str]:
    """A parameter, or where it is a JSON object each of its items."""
    try:
        inner = json.loads(value) if value.startswith("{") else None
    except (ValueError, RecursionError):
        inner = None
    if isinstance(inner, dict):
        return {str(key): json.dumps(item) for key, item in inner.items()}
    return {name: value}


@dataclass(frozen=True)
class Row:
    """One value of each task, None where a task has none."""

    group: str
    name: str
    values: list[str | float | None]

    @property
    def differs(self) -> bool:
        """Whether the values are not all the same."""
        return len(set(self.values)) > 1

    @property
    def highest(self) -> float | None:
        """The largest number, where the numbers differ."""
        numbers = [value for value in self.values if isinstance(value, float)]
        return max(numbers) if self.differs and len(numbers) > 1 else None


def page(visit: Visit) -> Shown:
    """Runs or tasks side by side: scores, curves, and parameters with what differs marked."""
    ids = list(dict.fromkeys(part for text in visit.chosen for part in text.split(",") if part))[:MOST]
    tasks = [visit.document("tasks", task_id, "task") for task_id in ids]
    found = [nodes.nodes(visit.db, task) for task in tasks]
    curves = dict.fromkeys(metric for task in tasks for metric in plots.charts(visit.db, task["id"]))
    projects = documents.names(visit.db, "projects", [task.get("project") or "" for task in tasks])
    parameters = _rows([_parameters(task) for task in tasks])
    changed = visit.query.get("changed") == "1"
    values = {
        "tasks": tasks,
        "projects": projects,
        "results": _rows([_results(steps) for steps in found]),
        "metrics": _rows([_metrics(task) for task in tasks]),
        "parameters": [row for row in parameters if row.differs or not changed],
        "different": sum(row.differs for row in parameters),
        "steps": _rows([{("", node.name): node.status for node in steps} for steps in found]),
        "curves": [metric for metric in curves if not metric.startswith(":")],
        "changed": changed,
    }
    return Shown("compare.html", values)


Values = dict[tuple[str, str], str | float]


def _rows(columns: list[Values]) -> list[Row]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return [Row(group, name, [column.get((group, name)) for column in columns]) for group, name in keys]


def _results(steps: list[nodes.Node]) -> Values:
    """What the models of a run reached."""
    found: Values = {}
    for score in scores(steps):
        found[(score.name, "valid F2")] = score.valid_f2
        if score.test_f2 is not None:
            found[(score.name, "test F2")] = score.test_f2
    return found


def _metrics(task: Document) -> Values:
    entries = [entry for variants in task["last_metrics"].values() for entry in variants.values()]
    shown = [entry for entry in entries if not entry["metric"].startswith(":")]
    return {(entry["metric"], entry["variant"]): float(entry["value"]) for entry in shown}


def _parameters(task: Document) -> Values:
    return {
        (section, key): value
        for section, items in sorted(task["hyperparams"].items())
        for name, item in items.items()
        for key, value in spread(name, runs.value(item)).items()
        if section not in UNCOMPARED
    }
