"""State of a run: its controller, and the status, worker and times of each step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from pipeline.clearml_tasks import TaskRecord, TaskUnavailable, exactly, fetch, find, project_ids
from pipeline.config.parameters import WHY
from pipeline.connection import Api
from planets.commands import command

STATUSES = {
    "created": "pending",
    "queued": "queued",
    "in_progress": "running",
    "completed": "completed",
    "publishing": "completed",
    "published": "completed",
    "closed": "completed",
    "failed": "failed",
    "stopped": "aborted",
}
"""Step status by the status of its ClearML task."""

GOOD = ("completed", "cached")
"""A run completes if each of its steps has one of these statuses; any other run fails."""

FINAL = (*GOOD, "failed", "aborted", "skipped")
"""Statuses that a step keeps for the rest of the run."""

LOOK_SECONDS = 0.5
"""Interval at which a run in progress is polled."""

PLAN = "Pipeline"
"""Configuration object in which ClearML's controller stores the DAG."""


def task_status(status: str) -> str:
    """Return the step status for a ClearML status; `pending` for one that this version does not know."""
    return STATUSES.get(status, "pending")


def step_status(run: TaskRecord, node: Mapping[str, Any], task: TaskRecord | None) -> str:
    """Return the status of a step, by the same rule as `server/web/runs/nodes.py` (a test compares them).

    Args:
        run: the controller's task.
        node: the step in the stored DAG.
        task: the step's task, if it has one; an earlier run's if the step is cached.
    """
    if node.get("skip_job") is True:
        return "skipped"
    if task is not None and task.parent != run.id:
        return "cached"
    status = task_status(task.status) if task else "pending"
    # The controller that would start it has ended.
    return "skipped" if status == "pending" and run.ended else status


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        status: a value of STATUSES, `cached` or `skipped`.
        queue: name of the queue that the DAG assigns.
        why: reason why it ran or did not, as the controller recorded it.
        task: the step's task, if it has one; an earlier run's if the step is cached.
    """

    name: str
    status: str
    queue: str = ""
    why: str = ""
    task: TaskRecord | None = None

    @property
    def stage(self) -> str:
        """The step's stage: `train` for `train_resnet18`."""
        return self.name.partition("_")[0]

    @property
    def cached(self) -> bool:
        """True if the result is an earlier run's."""
        return self.status == "cached"

    @property
    def task_id(self) -> str:
        """Id of the task, or an empty text."""
        return self.task.id if self.task else ""

    @property
    def worker(self) -> str:
        """The worker that runs or ran it in this run, or an empty text."""
        return self.task.worker if self.task and not self.cached else ""

    @property
    def seconds(self) -> float:
        """Time at work in this run so far; 0 for a step that is cached or has not started."""
        return 0.0 if self.cached else self.work_seconds

    @property
    def work_seconds(self) -> float:
        """Time at work so far, in this run or in the earlier one that a cached result is from."""
        return self.task.seconds if self.task else 0.0


@dataclass(frozen=True)
class RunState:
    """A run at one moment: the controller's task and the steps in the order of the DAG."""

    task: TaskRecord
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """Id of the run: that of the controller's task."""
        return self.task.id

    @property
    def status(self) -> str:
        """ClearML's status of the controller's task."""
        return self.task.status

    @property
    def over(self) -> bool:
        """True if the controller's task has ended."""
        return self.task.ended

    @property
    def good(self) -> bool:
        """True if the controller completed and each step completed or was cached."""
        completed = task_status(self.status) == "completed" and bool(self.steps)
        return completed and all(step.status in GOOD for step in self.steps)

    @property
    def seconds(self) -> float:
        """Time from the controller's start to its end, or to now."""
        return self.task.seconds

    @property
    def controller(self) -> Step:
        """The controller as a step."""
        return Step("controller", task_status(self.status), task=self.task)

    def step(self, name: str) -> Step | None:
        """Return the step `name`, if the run has one; the controller counts as a step."""
        return next((step for step in (self.controller, *self.steps) if step.name == name), None)

    def address(self, web: str) -> str:
        """Return the address of the run's page."""
        return f"{web}/pipelines/{self.task.project}/experiments/{self.id}"

    def log_address(self, web: str, step: Step) -> str:
        """Return the address of the page of a step's log."""
        return f"{web}/projects/{self.task.project}/experiments/{step.task_id}/output/log"


def read_run(api: Api, run_id: str) -> RunState:
    """Read the state of the run `run_id`. Raises TaskUnavailable if the server has no such task."""
    task = fetch(api, [run_id], f"configuration.{PLAN}", f"configuration.{WHY}").get(run_id)
    if task is None:
        raise TaskUnavailable(f"the server at {api.host} has no run {run_id}")
    # Until its controller has stored a DAG of its own, a clone holds that of its source.
    if task.status in ("created", "queued"):
        return RunState(task, ())
    plan, reasons = task.stored(PLAN), task.stored(WHY)
    # `kwargs` tell how many epochs a training has.
    tasks = fetch(api, map(_task_id, plan.values()), "last_metrics", "hyperparams.kwargs")

    def step(name: str, node: Mapping[str, Any]) -> Step:
        its_task = tasks.get(_task_id(node))
        status = step_status(task, node, its_task)
        why = str(reasons.get(name) or ("did not start" if status == "skipped" else ""))
        return Step(name, status, node.get("queue") or "", why, its_task)

    return RunState(task, tuple(step(name, node) for name, node in plan.items()))


def states(api: Api, run_id: str, interrupted: Event | None = None) -> Iterator[RunState]:
    """Poll a run: yield its state until it is over, and then the final one; stop early if `interrupted`."""
    interrupted = interrupted or Event()
    while True:
        state = read_run(api, run_id)
        yield state
        if state.over or interrupted.wait(LOOK_SECONDS):
            return


def last_run(api: Api, project: str, pipeline: str) -> str | None:
    """Return the id of the run that was created last, if there is one."""
    return next((run.id for run in runs_of(api, project, pipeline, limit=1)), None)


def pipeline_projects(api: Api, project: str, pipeline: str) -> list[str]:
    """Return the id of the hidden project that holds a pipeline's runs and steps; none before the first."""
    return project_ids(api, exactly(f"{project}/.pipelines/{pipeline}"))


def runs_of(api: Api, project: str, pipeline: str, **conditions: Any) -> Iterator[TaskRecord]:
    """Yield the runs of a pipeline that are not archived and meet the conditions of `find`, newest first."""
    projects = pipeline_projects(api, project, pipeline)
    if projects:
        conditions |= {"project": projects, "type": ["controller"], "system_tags": ["-archived"]}
        yield from find(api, order_by=["-created"], **conditions)


def chosen_run(api: Api, project: str, pipeline: str, run_id: str) -> str:
    """Return the id of the run whose id is or begins with `run_id`, or of the last run if it is empty.

    Raises:
        TaskUnavailable: there is no such run, or none at all, or several begin so.
    """
    if not run_id:
        last = last_run(api, project, pipeline)
        if last is None:
            raise TaskUnavailable(f"there is no run yet; start one with `{command('run')}`")
        return last
    task = fetch(api, [run_id]).get(run_id)
    if task is not None and task.type == "controller":
        return run_id
    begin_so = [run.id for run in runs_of(api, project, pipeline) if run.id.startswith(run_id)]
    if len(begin_so) == 1:
        return begin_so[0]
    found = f"{len(begin_so)} runs whose ids begin with" if begin_so else "no run"
    raise TaskUnavailable(
        f"the server at {api.host} has {found} {run_id}; the run's page has the id in its address"
    )


def _task_id(node: Mapping[str, Any]) -> str:
    """Return the id of a step's task: `executed` names the one that a cached step reuses."""
    return str(node.get("executed") or node.get("job_id") or "")
