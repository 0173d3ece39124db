"""Comparison of runs or tasks side by side."""

from dataclasses import dataclass

from server import documents
from server.documents import Document
from server.web.runs import nodes
from server.web.shell.section import Section, Shown, Visit
from server.web.tasks import figures, summary

MAX_TASKS = 10
UNCOMPARED = frozenset({"return", "properties"})

Values = dict[tuple[str, str], str | float]

section = Section()


@dataclass(frozen=True)
class Row:
    """One value of each task, None for a task without it."""

    group: str
    name: str
    values: list[str | float | None]

    @property
    def differs(self) -> bool:
        """True if the values are not all the same."""
        return len(set(self.values)) > 1

    @property
    def highest(self) -> float | None:
        """The largest number, or None if the numbers are all the same."""
        numbers = [value for value in self.values if isinstance(value, float)]
        return max(numbers) if self.differs and len(numbers) > 1 else None


@section.page("/compare")
def compare_page(visit: Visit) -> Shown:
    """Runs or tasks side by side: scores, curves, and parameters with the differences marked."""
    ids = dict.fromkeys(part for text in visit.chosen for part in text.split(",") if part)
    tasks = [visit.document("tasks", task_id, "task") for task_id in list(ids)[:MAX_TASKS]]
    steps = [nodes.nodes(visit.db, task) for task in tasks]
    curves = dict.fromkeys(metric for task in tasks for metric in figures.charts(visit.db, task["id"]))
    parameters = _rows([_parameters(task) for task in tasks])
    changed = visit.flag("changed")
    values = {
        "tasks": tasks,
        "projects": documents.names(visit.db, "projects", [task.get("project") or "" for task in tasks]),
        "results": _rows([_results(planned) for planned in steps]),
        "metrics": _rows([_metrics(task) for task in tasks]),
        "parameters": [row for row in parameters if row.differs or not changed],
        "different": sum(row.differs for row in parameters),
        "steps": _rows([{("", node.name): node.status for node in planned} for planned in steps]),
        "curves": [metric for metric in curves if not metric.startswith(":")],
        "has_epochs": any(figures.has_epochs(visit.db, task["id"]) for task in tasks),
        "changed": changed,
    }
    return Shown("compare.html", values)


def _rows(columns: list[Values]) -> list[Row]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return [Row(group, name, [column.get((group, name)) for column in columns]) for group, name in keys]


def _results(steps: list[nodes.Node]) -> Values:
    """Return the scores of a run's models."""
    results: Values = {}
    for score in nodes.scores(steps):
        results[(score.name, "validation F2")] = score.valid_f2
        if score.test_f2 is not None:
            results[(score.name, "test F2")] = score.test_f2
    return results


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
