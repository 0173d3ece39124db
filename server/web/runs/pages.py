"""Pages of pipeline runs: the list, one run with its steps and models, and the form for a new run."""

import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from server import documents
from server.documents import Document
from server.errors import InvalidArgument
from server.web.runs import dag, nodes
from server.web.runs.form import checks
from server.web.runs.form import faults as faults_of
from server.web.runs.results import MAX_COLUMNS, RESULTS, Column, Results, merged, results_of
from server.web.shell.section import Form, Section, Shown, Visit
from server.web.tasks import console, listing, summary
from server.web.tasks import pages as tasks
from server.web.tasks.actions import path_of
from server.web.tasks.failure import Failure, failure_of

PAGE = 30
LOG_WIDTH = 26
MAX_DRAWN = 300
"""Steps of a run that is drawn; a larger one is only listed."""
SERVICES = "services"
# The SDK notes in the comment who started a run.
AUTHOR = re.compile(r"Auto-generated at .{10,40} by (\S{1,80})")

section = Section()


@dataclass(frozen=True)
class Run:
    """One line of the list."""

    task: Document
    pipeline: str
    steps: list[nodes.Node]
    results: Results
    author: str

    @property
    def finished(self) -> int:
        """How many steps completed or came from the cache."""
        return sum(step.status in nodes.GOOD for step in self.steps)

    def value(self, column: Column) -> float | None:
        """Return the headline's value of a column of the list, which another run may have declared."""
        values = self.results.headline.values if self.results.headline else {}
        return next((value for own, value in values.items() if own.key == column.key), None)


@dataclass(frozen=True)
class Step:
    """A node, the last line that it printed, and why it ran or did not."""

    node: nodes.Node
    line: str
    why: str


@dataclass(frozen=True)
class FailedStep:
    """A failed step, or the controller, and why it failed."""

    step: str
    path: str
    why: Failure


@section.page("/", link="Runs")
def run_list(visit: Visit) -> Shown:
    """Pipeline runs."""
    view = listing.view_of(visit)
    ids = listing.page_ids(visit, view, PAGE, "type = 'controller'")
    runs = _runs(visit.db, ids[:PAGE])
    columns = merged(run.results.columns for run in runs)[:MAX_COLUMNS]
    values = {"runs": runs, "columns": columns}
    values |= listing.values_of(visit, view, ids[:PAGE])
    return Shown("runs.html", values | visit.page_links(PAGE, len(ids)))


@section.page("/pipelines/{project}/experiments/{task}")
def run_page(visit: Visit) -> Shown:
    """A run; a task that is no pipeline gets the task's own page."""
    run = visit.task()
    if run["type"] != "controller":
        return tasks.task_page(visit)
    planned = nodes.nodes(visit.db, run)
    lines = console.last_lines(visit.db, [node.task["id"] for node in planned if node.task])
    reasons = nodes.reasons(run)
    steps = [
        Step(node, lines.get(node.task.get("id", ""), ""), reasons.get(node.name, "")) for node in planned
    ]
    results = results_of(nodes.stored_text(run, RESULTS), planned)
    values = {
        "steps": steps,
        "by_name": {step.node.name: step for step in steps},
        "picture": dag.picture(planned) if 0 < len(planned) <= MAX_DRAWN else None,
        "log_width": LOG_WIDTH,
        "results": results,
        "registered": _registered(visit.db, [row.model_id for row in results.rows]),
        "arguments": summary.parameters(run, "Args"),
        "artifacts": _artifacts(visit.db, run, planned),
        "failures": _failures(visit.db, run, planned),
        "author": _author(run),
        "origin": _origin(visit.db, run),
    }
    return Shown("run.html", tasks.head(visit, run) | values)


@section.page("/new-run/{task}")
def new_run_form(visit: Visit) -> Shown:
    """The form for a new run, filled with the parameters of this one."""
    run = visit.task()
    queues = tasks.queue_choices(visit)
    services = (queue["id"] for queue, _ in queues if queue["name"] == SERVICES)
    values = {
        "task": run,
        "arguments": summary.parameters(run, "Args"),
        "checks": checks(run),
        "queues": queues,
        "queue": next(services, run["execution"].get("queue")),
    }
    return Shown("new_run.html", values)


@section.action("new-run", "The new run waits in its queue.")
def new_run(form: Form) -> str:
    """Start a new run with the edited arguments in the chosen queue, if they pass the checks of the run."""
    values = {name: value.replace("\r\n", "\n") for name, value in form.rows("name", "value")}
    source = form.api.invoke("tasks.get_by_id", task=form.value("task"))["task"]
    faults = list(faults_of(source, values))
    if faults:
        raise InvalidArgument("\n".join(faults))
    args = [{"name": name, "value": value} for name, value in values.items()]
    answer = form.api.invoke(
        "pipelines.start_pipeline", task=form.value("task"), args=args, queue=form.value("queue")
    )
    return path_of(form, answer["pipeline"])


def _runs(db: sqlite3.Connection, ids: list[str]) -> list[Run]:
    """Return runs by their ids, in that order."""
    stored = (
        "json_extract(doc, '$.configuration.Pipeline.value') AS plan,"
        f" json_extract(doc, '$.configuration.{RESULTS}.value') AS results"
    )
    rows = listing.rows_of(db, f"{summary.columns(summary.FIELDS)}, {stored}", ids)
    runs = [{name: row[name] for name in summary.FIELDS} for row in rows]
    projects = documents.names(db, "projects", [run["project"] or "" for run in runs])
    planned = nodes.nodes_of_runs(db, [(run, row["plan"]) for run, row in zip(runs, rows, strict=True)])
    return [
        Run(run, _pipeline_name(projects, run), steps, results_of(row["results"], steps), _author(run))
        for run, row, steps in zip(runs, rows, planned, strict=True)
    ]


def _pipeline_name(projects: dict[str, str], run: Document) -> str:
    """Return `project / pipeline`: a hidden project holds the runs of a pipeline."""
    return projects.get(run["project"], "").replace("/.pipelines/", " / ")


def _author(run: dict[str, Any]) -> str:
    match = AUTHOR.match(run.get("comment") or "")
    return match[1] if match else "user"


def _origin(db: sqlite3.Connection, run: Document) -> Document | None:
    """Return the run that this one was cloned from."""
    parent = summary.find(db, run.get("parent"))
    return parent if parent and parent["type"] == "controller" else None


def _registered(db: sqlite3.Connection, ids: list[str]) -> dict[str, Document]:
    models = (documents.find(db, "models", model_id) for model_id in ids)
    return {model["id"]: model for model in models if model}


def _artifacts(
    db: sqlite3.Connection, run: Document, steps: list[nodes.Node]
) -> list[tuple[str, summary.Artifact]]:
    """Return (step, artifact) for everything that the run and its steps uploaded."""
    found = [("", artifact) for artifact in summary.artifacts(run)]
    for node in steps:
        task = documents.find(db, "tasks", node.task["id"]) if node.task else None
        found += [(node.name, artifact) for artifact in summary.artifacts(task)] if task else []
    return found


def _failures(db: sqlite3.Connection, run: Document, steps: list[nodes.Node]) -> list[FailedStep]:
    """Return the failed steps, or the controller if it failed and no step did."""
    failed = [node for node in steps if node.status == "failed"]
    if not failed and run["status"] == "failed":
        return [FailedStep("controller", "", failure_of(db, run))]
    return [FailedStep(node.name, node.path or "", failure_of(db, node.task)) for node in failed]
