"""Comparison of runs or tasks side by side."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from server import documents
from server.documents import Document
from server.web.runs import nodes
from server.web.runs.results import RESULTS, Results, results_of
from server.web.shell.section import Section, Shown, Visit
from server.web.tasks import figures, summary

MAX_TASKS = 10
UNCOMPARED = frozenset({summary.RETURNED, "properties"})

Values = dict[tuple[str, str], str | float]

# Words in the names of metrics whose smallest value is the best.
SMALLER = re.compile(
    r"(?<![a-z])(?:loss|errors?|err|mae|mse|rmse|perplexity|seconds|minutes|time|duration|latency)(?![a-z])",
    re.IGNORECASE,
)

section = Section()


@dataclass(frozen=True)
class Row:
    """One value of each task, None for a task without it; `better` is the direction that a run declared."""

    group: str
    name: str
    values: list[str | float | None]
    better: str = ""

    @property
    def differs(self) -> bool:
        """True if the values are not all the same."""
        return len(set(self.values)) > 1

    @property
    def best(self) -> float | None:
        """The best number as declared, else the smallest of a loss or a duration; None if all are equal."""
        numbers = [value for value in self.values if isinstance(value, float)]
        if not self.differs or len(numbers) < 2:
            return None
        smaller = self.better == "lower" or (not self.better and SMALLER.search(f"{self.group} {self.name}"))
        return min(numbers) if smaller else max(numbers)


@section.page("/compare")
def compare_page(visit: Visit) -> Shown:
    """Runs or tasks side by side: scores, curves, and parameters with the differences marked."""
    tasks = _compared(visit)
    steps = [nodes.nodes(visit.db, task) for task in tasks]
    # A run has its curves in its steps.
    members = list(
        dict.fromkeys(
            member
            for task, planned in zip(tasks, steps, strict=True)
            for member in [task["id"], *(node.task["id"] for node in planned if node.task)]
        )
    )
    curves: dict[str, list[str]] = {}
    for member in members:
        for metric in figures.charts(visit.db, member):
            curves.setdefault(metric, []).append(member)
    parameters = _rows([_parameters(task) for task in tasks])
    parameters.sort(key=lambda row: not row.differs)
    changed = visit.flag("changed")
    metrics = _rows([_metrics(task) for task in tasks])
    found = [_results(task, planned) for task, planned in zip(tasks, steps, strict=True)]
    directions = {column.title: column.better for result in found for column in result.columns}
    results = _rows([_values(result) for result in found], directions)
    values = {
        "tasks": tasks,
        "projects": documents.names(visit.db, "projects", [task.get("project") or "" for task in tasks]),
        "results": results,
        "metrics": metrics,
        "parameters": [row for row in parameters if row.differs or not changed],
        "different": sum(row.differs for row in parameters),
        "steps": _rows([{("", node.name): node.status for node in planned} for planned in steps]),
        "curves": {metric: ids for metric, ids in curves.items() if not metric.startswith(":")},
        "has_epochs": any(figures.has_epochs(visit.db, member) for member in members),
        "horizontal": [_key(row) for row in parameters],
        "vertical": [_key(row) for row in (*results, *metrics)],
        "query": visit.query,
        "changed": changed,
    }
    return Shown("compare.html", values)


@section.data("/figures/compared")
def scatter(visit: Visit) -> Document:
    """A parameter of the compared tasks against a metric, as plotly.js draws it."""
    x, y = visit.query.get("parameter", ""), visit.query.get("metric", "")
    points: list[tuple[str, object, object]] = []
    for task in _compared(visit):
        parameters = _by_key(_parameters(task))
        values = _by_key(_values(_results(task, nodes.nodes(visit.db, task))) | _metrics(task))
        if x in parameters and y in values:
            points.append((figures.literal(task["name"]), _number(parameters[x]), values[y]))
    trace = {
        "text": [point[0] for point in points],
        "x": [point[1] for point in points],
        "y": [point[2] for point in points],
        "mode": "markers+text",
        "textposition": "top center",
        "cliponaxis": False,
        "marker": {"size": 11},
    }
    axes = {
        "xaxis": {"title": {"text": figures.literal(x)}},
        "yaxis": {"title": {"text": figures.literal(y)}},
    }
    return {"data": [trace], "layout": axes | {"showlegend": False}}


def _compared(visit: Visit) -> list[Document]:
    ids = dict.fromkeys(part for text in visit.chosen for part in text.split(",") if part)
    return [visit.document("tasks", task_id, "task") for task_id in list(ids)[:MAX_TASKS]]


def _key(row: Row) -> str:
    return f"{row.group} {row.name}".strip()


def _by_key(values: Values) -> dict[str, str | float]:
    return {f"{group} {name}".strip(): value for (group, name), value in values.items()}


def _number(value: str | float) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


def _rows(columns: list[Values], better: Mapping[str, str] | None = None) -> list[Row]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return [
        Row(group, name, [column.get((group, name)) for column in columns], (better or {}).get(name, ""))
        for group, name in keys
    ]


def _results(task: Document, steps: list[nodes.Node]) -> Results:
    return results_of(nodes.stored_text(task, RESULTS), steps)


def _values(results: Results) -> Values:
    """Return the values of a run's rows."""
    return {(row.name, column.title): value for row in results.rows for column, value in row.values.items()}


def _metrics(task: Document) -> Values:
    return {
        (entry["metric"], entry["variant"]): float(entry["value"])
        for entry in summary.metrics(task)
        if not entry["metric"].startswith(":")
    }


def _parameters(task: Document) -> Values:
    """Return the parameters; one that holds a JSON object counts as its entries."""
    return {
        (section_name, name): value
        for section_name in sorted(task["hyperparams"])
        if section_name not in UNCOMPARED
        for parameter in summary.parameters(task, section_name)
        for name, value in (parameter.entries or {parameter.name: parameter.value}).items()
    }
