"""The list of pipeline runs."""

import json
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from server import documents
from server.documents import Document
from server.web.runs import nodes
from server.web.runs.scores import Score, scores
from server.web.shell.section import Shown, Visit

PAGE = 30
AUTHOR = re.compile(r"Auto-generated at .{10,40} by (\S{1,80})")
ARCHIVED = "EXISTS (SELECT 1 FROM json_each(doc, '$.system_tags') WHERE value = 'archived')"
FIELDS = (
    "id", "name", "project", "parent", "status", "type", "created", "started", "completed", "last_update",
    "comment",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One line of the list."""

    task: Document
    pipeline: str
    steps: list[nodes.Node]
    best: Score | None
    author: str

    @property
    def finished(self) -> int:
        """How many steps completed or came from the cache."""
        return sum(step.status in nodes.GOOD for step in self.steps)


def page(visit: Visit) -> Shown:
    """The pipeline runs, the newest first."""
    archived, wanted, start = (
        visit.query.get("archived") == "1",
        visit.query.get("q", ""),
        visit.integer("from"),
    )
    found = latest(visit.db, archived, wanted, start)
    values = {"runs": found[:PAGE], "older": start + PAGE if len(found) > PAGE else None, "wanted": wanted}
    return Shown(
        "runs.html", values | {"archived": archived, "newer": max(start - PAGE, 0) if start else None}
    )


def latest(db: sqlite3.Connection, archived: bool, wanted: str = "", start: int = 0) -> list[Run]:
    """A page of runs and one more, newest first."""
    columns = ", ".join(f"json_extract(doc, '$.{name}') AS {name}" for name in FIELDS)
    rows = db.execute(
        f"SELECT {columns}, json_extract(doc, '$.configuration.Pipeline.value') AS plan FROM tasks"
        f" WHERE type = 'controller' AND {ARCHIVED} = ? AND instr(lower(name), lower(?))"
        " ORDER BY rowid DESC LIMIT ? OFFSET ?",
        (archived, wanted, PAGE + 1, start),
    ).fetchall()
    tasks = [{name: row[name] for name in FIELDS} for row in rows]
    plans = [nodes.read_plan(row["plan"]) for row in rows]
    projects = documents.names(db, "projects", [task["project"] for task in tasks if task["project"]])
    steps = nodes.nodes_of_runs(db, list(zip(tasks, plans, strict=True)))
    return [
        Run(task, pipeline_name(projects.get(task["project"] or "", "")), found, best(found), author(task))
        for task, found in zip(tasks, steps, strict=True)
    ]


def best(steps: list[nodes.Node]) -> Score | None:
    """The model that the run chose; before it has chosen, the one that leads."""
    found = scores(steps)
    return next((score for score in found if score.best), found[0] if found else None)


def author(task: dict[str, Any]) -> str:
    """Who started the run, as the SDK notes it in the comment."""
    match = AUTHOR.match(task.get("comment") or "")
    return match[1] if match else "user"


def pipeline_name(project: str) -> str:
    """`project / pipeline` for the hidden project that holds the runs of a pipeline."""
    return project.replace("/.pipelines/", " / ")


def short(task: Document) -> Document:
    """Of a whole task what a line of a list needs."""
    return {name: task.get(name) for name in FIELDS}


def arguments(task: Document) -> list[tuple[str, str, str]]:
    """(name, value, description) of the run's own parameters."""
    section: dict[str, Any] = task["hyperparams"].get("Args", {})
    return [(name, value(item), str(item.get("description") or "")) for name, item in section.items()]


def value(item: Document) -> str:
    """A parameter's value as text."""
    found = item.get("value", "")
    return found if isinstance(found, str) else "" if found is None else json.dumps(found)
