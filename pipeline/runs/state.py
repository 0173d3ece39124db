"""A run as the server knows it: the controller's task, and each step with its state, worker and times."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pipeline.api import Api
from pipeline.config.parameters import WHY
from pipeline.errors import Unfinished
from pipeline.runs.epochs import progress

ENDED = ("completed", "published", "failed", "stopped", "closed")
"""States of a task that do not change by themselves."""

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
"""ClearML's status of a step's task, in the words of the step table."""

LOOK_SECONDS = 0.5
"""Time between two looks at a run that goes on."""

GOOD = ("completed", "cached")
"""A run whose every step is one of these is completed; any other run is failed."""


@dataclass(frozen=True)
class Step:
    """One step of a run. `status` is one of the words of STATES, or `cached`, or `skipped`.

    `why` is what the controller wrote down of why it ran or did not; `progress` is what a training has
    reached.
    """

    name: str
    status: str
    task_id: str = ""
    queue: str = ""
    worker: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    why: str = ""
    progress: str = ""

    @property
    def stage(self) -> str:
        """The stage that the step belongs to: `train` for `train_resnet18`."""
        return self.name.partition("_")[0]

    @property
    def cached(self) -> bool:
        """Whether the result was taken from an earlier run."""
        return self.status == "cached"

    @property
    def seconds(self) -> float:
        """Time at work in this run so far; none for a step that was cached or has not started."""
        return 0.0 if self.cached else self.work_seconds

    @property
    def work_seconds(self) -> float:
        """Time at work so far, in this run or in the one that a cached result is from."""
        if self.started is None:
            return 0.0
        return ((self.ended or datetime.now(UTC)) - self.started).total_seconds()


@dataclass(frozen=True)
class RunState:
    """A run at one moment. `status` is that of the controller's task."""

    id: str
    name: str
    project: str
    status: str
    reason: str
    started: datetime | None
    ended: datetime | None
    steps: tuple[Step, ...]

    @property
    def over(self) -> bool:
        """Whether the controller's task has ended."""
        return self.status in ENDED

    @property
    def good(self) -> bool:
        """Our own verdict: the controller completed, and so did each of its steps, or it was cached."""
        done = STATES[self.status] == "completed" and bool(self.steps)
        return done and all(step.status in GOOD for step in self.steps)

    @property
    def seconds(self) -> float:
        """From the controller's start to its end, or to now."""
        if self.started is None:
            return 0.0
        return ((self.ended or datetime.now(UTC)) - self.started).total_seconds()

    def address(self, web: str) -> str:
        """The run's page."""
        return f"{web}/pipelines/{self.project}/experiments/{self.id}"

    def log_address(self, web: str, step: Step) -> str:
        """The page of a step's log."""
        return f"{web}/projects/{self.project}/experiments/{step.task_id}/output/log"


FIELDS = (
    "id", "name", "project", "status", "status_reason", "status_message", "started", "completed",
    "last_worker", "execution.queue", "parent", "last_iteration", "last_metrics",
    "hyperparams.kwargs.epochs", "configuration.Pipeline", f"configuration.{WHY}",
)  # fmt: skip


def read_run(api: Api, run_id: str) -> RunState:
    """The state of the run whose controller's task is `run_id`. Raises Unfinished when there is none."""
    found = api.call("tasks.get_all", id=[run_id], only_fields=list(FIELDS), search_hidden=True)["tasks"]
    if not found:
        raise Unfinished(f"the server at {api.host} has no run {run_id}")
    task = found[0]
    # A clone shows its source's DAG until its controller has started and stored its own.
    shown = task["status"] not in ("created", "queued")
    dag, reasons = (_stored(task, name) if shown else {} for name in ("Pipeline", WHY))
    started = _time(task.get("started"))
    steps = [replace(step, why=str(reasons.get(step.name, ""))) for step in _steps(api, run_id, dag)]
    if task["status"] in ENDED:
        steps = [_never_started(step) if step.status == "pending" else step for step in steps]
    return RunState(
        id=run_id,
        name=task["name"],
        project=identity(task.get("project")),
        status=task["status"],
        reason=task.get("status_message") or task.get("status_reason") or "",
        started=started,
        ended=_time(task.get("completed")) if task["status"] in ENDED else None,
        steps=tuple(steps),
    )


def states(api: Api, run_id: str) -> Iterator[RunState]:
    """The state of a run, again and again until it is over; the last one is final."""
    while True:
        state = read_run(api, run_id)
        yield state
        if state.over:
            return
        time.sleep(LOOK_SECONDS)


def last_run(api: Api, project: str, pipeline: str) -> str | None:
    """The id of the run that was created last, if there is one."""
    name = f"{project}/.pipelines/{pipeline}"
    projects = api.call("projects.get_all", name=f"^{name}$", search_hidden=True, only_fields=["id", "name"])
    if not projects["projects"]:
        return None
    tasks = api.call(
        "tasks.get_all",
        project=[projects["projects"][0]["id"]],
        type=["controller"],
        system_tags=["-archived"],
        order_by=["-created"],
        page=0,
        page_size=1,
        only_fields=["id"],
        search_hidden=True,
    )["tasks"]
    return str(tasks[0]["id"]) if tasks else None


def chosen_run(api: Api, project: str, pipeline: str, run_id: str) -> str:
    """The run `run_id`, or the last one if that is empty. Raises Unfinished when there is none."""
    if run_id:
        found = api.call("tasks.get_all", id=[run_id], only_fields=["id", "type"], search_hidden=True)[
            "tasks"
        ]
        if not found or found[0]["type"] != "controller":
            raise Unfinished(
                f"the server at {api.host} has no run {run_id}; the id stands in the run's address"
            )
        return run_id
    last = last_run(api, project, pipeline)
    if last is None:
        raise Unfinished("there is no run yet: make train.pipeline")
    return last


def _never_started(step: Step) -> Step:
    return replace(step, status="skipped", why="did not start")


def _stored(task: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The JSON object, by steps, that the controller stored as `name`; empty until it has done so."""
    text = ((task.get("configuration") or {}).get(name) or {}).get("value")
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def _steps(api: Api, run_id: str, dag: Mapping[str, Any]) -> list[Step]:
    ids = [node["job_id"] for node in dag.values() if node.get("job_id")]
    tasks: Sequence[Mapping[str, Any]] = (
        api.call("tasks.get_all", id=ids, only_fields=list(FIELDS[:-2]), search_hidden=True)["tasks"]
        if ids
        else []
    )
    by_id = {task["id"]: task for task in tasks}
    return [_step(name, node, by_id.get(node.get("job_id")), run_id) for name, node in dag.items()]


def _step(name: str, node: Mapping[str, Any], task: Mapping[str, Any] | None, run_id: str) -> Step:
    if task is None:
        return Step(name, "pending", queue=node.get("queue") or "")
    cached = identity(task.get("parent")) != run_id
    return Step(
        name=name,
        status="cached" if cached else STATES[task["status"]],
        task_id=task["id"],
        queue=node.get("queue") or "",
        worker="" if cached else task.get("last_worker") or "",
        started=_time(task.get("started")),
        ended=_time(task.get("completed")) if task["status"] in ENDED else None,
        progress=progress(task),
    )


def identity(reference: Any) -> str:
    """An id, whether the server answers it bare or as a document."""
    return str(reference["id"] if isinstance(reference, Mapping) else reference or "")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
