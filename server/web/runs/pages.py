"""One pipeline run: the picture of its steps, its models, what it made, and the form for a new run."""

from dataclasses import dataclass

from server import documents
from server.documents import Document
from server.stores.queues import watchers
from server.web.runs import dag, nodes, runs
from server.web.runs.scores import scores
from server.web.shell.section import Shown, Visit
from server.web.tasks import console
from server.web.tasks import pages as task_page

LOG_WIDTH = 26
SERVICES = "services"


@dataclass(frozen=True)
class Step:
    """A node with what the page says about it."""

    node: nodes.Node
    line: str
    why: str


def page(visit: Visit) -> Shown:
    """A run; of a task that is no pipeline, the task's own page."""
    run = visit.task()
    if run["type"] != "controller":
        return task_page.page(visit)
    found = nodes.nodes(visit.db, run)
    lines = console.last_lines(visit.db, [node.task["id"] for node in found if node.task])
    reasons = nodes.reasons(run)
    steps = [Step(node, lines.get(node.task.get("id", ""), ""), reasons.get(node.name, "")) for node in found]
    models = scores(found)
    values = task_page.head(visit, run) | {
        "steps": steps,
        "by_name": {step.node.name: step for step in steps},
        "picture": dag.picture(found) if found else None,
        "log_width": LOG_WIDTH,
        "scores": models,
        "best": runs.best(found),
        "publication": _publication(found),
        "registered": _registered(visit, [score.model_id for score in models]),
        "arguments": runs.arguments(run),
        "artifacts": _artifacts(visit, run, found),
        "failures": _failures(visit, run, found),
        "author": runs.author(run),
        "origin": _origin(visit, run),
    }
    return Shown("run.html", values)


def new_run(visit: Visit) -> Shown:
    """The form of a new run, filled with what this one was given."""
    run = visit.task()
    found = documents.where(visit.db, "queues", "1 ORDER BY name")
    queues = [(queue, len(watchers(visit.db, queue["id"]))) for queue in found]
    wanted = next(
        (queue["id"] for queue, _ in queues if queue["name"] == SERVICES), run["execution"].get("queue")
    )
    values = {"task": run, "arguments": runs.arguments(run), "queues": queues, "queue": wanted}
    return Shown("new_run.html", values)


def _registered(visit: Visit, ids: list[str]) -> dict[str, Document]:
    found = (documents.find(visit.db, "models", model_id) for model_id in ids)
    return {model["id"]: model for model in found if model}


def _publication(steps: list[nodes.Node]) -> str:
    """Whether the run's best model was published, and why, as its selection returned it."""
    told = (nodes.read_object(node.returned.get("publication")) for node in steps if node.stage == "select")
    return next((str(each["why"]) for each in told if "why" in each), "")


def _artifacts(visit: Visit, run: Document, steps: list[nodes.Node]) -> list[tuple[str, task_page.Artifact]]:
    """(step, artifact) of everything that the run and its steps hold."""
    found = [("", artifact) for artifact in task_page.artifacts(run)]
    for node in steps:
        task = documents.find(visit.db, "tasks", node.task["id"]) if node.task else None
        found += [(node.name, artifact) for artifact in task_page.artifacts(task)] if task else []
    return found


@dataclass(frozen=True)
class Failure:
    """A step that failed (or the controller), why, and the end of its log."""

    step: str
    path: str
    reason: str
    text: str


def _failures(visit: Visit, run: Document, steps: list[nodes.Node]) -> list[Failure]:
    """What failed of the run; the controller's own words where no step did."""
    failed = [node for node in steps if node.status == "failed"]
    if not failed and run["status"] == "failed":
        reason = run.get("status_reason") or run.get("status_message") or ""
        return [Failure("controller", "", reason, console.last_error(visit.db, run["id"]))]
    return [
        Failure(
            node.name,
            node.path or "",
            node.task["status_reason"] or "",
            console.last_error(visit.db, node.task["id"]),
        )
        for node in failed
    ]


def _origin(visit: Visit, run: Document) -> Document | None:
    """The run that this one was made from."""
    parent = documents.find(visit.db, "tasks", run.get("parent") or "")
    return runs.short(parent) if parent and parent["type"] == "controller" else None
