"""Why a step ran: what differs from the last completed task of the same name."""

import json
from collections.abc import Mapping, Sequence

from clearml import PipelineController, Task

from pipeline.clearml_tasks import DONE, TaskRecord, exactly, fetch, find
from pipeline.config.parameters import CODE, WHY
from pipeline.connection import Api
from planets.system import short_id

ARGUMENTS = "hyperparams.kwargs"

LOST = "lost:"
"""Prefix of the tag that names a worker which vanished from a step; another one took the step over."""

SHOWN_FILES = 3
"""Changed files that are named; the others are counted."""

IDS = ("dataset_id", "split_id", "train_id", "candidates", "content_hash", "champion")
"""Arguments that say nothing to a person: that they changed is enough."""


class Reasons:
    """Why each step of a run ran or was cached, stored as the run's configuration object `why`.

    The reasons stay with the run and not with a step's task: a cached step has the task of an earlier run.
    """

    def __init__(self, api: Api, run: Task, refreshed: frozenset[str]) -> None:
        """Explain the steps of the controller's task `run`, in which `refreshed` steps ignore the cache."""
        self._api = api
        self._run = run
        self._refreshed = refreshed
        self._by_step: dict[str, str] = {}

    def note_once(self, _pipe: PipelineController, node: PipelineController.Node, _status: str) -> None:
        """Explain a step when its status changes, unless that was done before: ClearML's callback."""
        if node.job is not None and node.name not in self._by_step:
            self.note(node)

    def note(self, node: PipelineController.Node) -> None:
        """Explain a step that has a task, again if it was explained before."""
        self._by_step[node.name] = explain(self._api, self._run.id, node.job.task_id(), self._refreshed)
        # By the SDK, whose lock keeps this apart from the DAG that the controller's thread stores.
        self._run.set_configuration_object(WHY, json.dumps(self._by_step, indent=1), config_type="json")


def explain(api: Api, run_id: str, task_id: str, refreshed: frozenset[str]) -> str:
    """Return one line: why the step with the task `task_id` ran or was cached, and the workers it lost."""
    task = fetch(api, [task_id], ARGUMENTS).get(task_id)
    if task is None or task.parent != run_id:
        return f"same inputs and code as in task {short_id(task_id)}"
    workers = [tag.removeprefix(LOST) for tag in task.tags if tag.startswith(LOST)]
    lost = [f"worker {worker} was lost, another took over" for worker in workers]
    return "; ".join([_reason(api, task, refreshed), *lost])


def _reason(api: Api, task: TaskRecord, refreshed: frozenset[str]) -> str:
    attempt = _earlier_attempt(api, task)
    if attempt:
        return f"it {attempt} when this run was tried before"
    if task.name in refreshed:
        return "refresh was asked for"
    before = last_completed(api, [task.project], task.name, task)
    code = _code(api, task.parent, _stage(task.name))
    return changed_since(api, task, before, code) or "the earlier result is gone or was archived"


def _earlier_attempt(api: Api, task: TaskRecord) -> str:
    """Return how this step ended in an earlier attempt of the same run; empty for the first attempt."""
    attempts = find(
        api,
        parent=task.parent,
        name=exactly(task.name),
        status=["failed", "stopped"],
        order_by=["-created"],
    )
    for other in attempts:
        if _is_older(other, task):
            return {"failed": "failed", "stopped": "was stopped"}[other.status]
    return ""


def last_completed(
    api: Api, projects: Sequence[str], name: str, earlier_than: TaskRecord | None = None
) -> TaskRecord | None:
    """Return the last task of this name that completed, if there is one, with its arguments."""
    if not projects:
        return None
    earlier = find(
        api,
        ARGUMENTS,
        project=list(projects),
        name=exactly(name),
        status=list(DONE),
        system_tags=["-archived"],
        order_by=["-created"],
    )
    return next((other for other in earlier if earlier_than is None or _is_older(other, earlier_than)), None)


def _is_older(other: TaskRecord, task: TaskRecord) -> bool:
    return other.created is not None and task.created is not None and other.created < task.created


def changed_since(api: Api, task: TaskRecord, before: TaskRecord | None, code: Mapping[str, str]) -> str:
    """Return what differs between a step and the one that completed before it; empty for no difference.

    Args:
        api: the server.
        task: the step, which need not exist on the server; its name and arguments count.
        before: the earlier task of this name.
        code: digests of the code of the step's stage.
    """
    if before is None:
        return "first run of this step"
    new, old = task.settings, before.settings
    changes: list[str] = []
    for name in sorted(new.keys() | old.keys()):
        if new.get(name) == old.get(name):
            continue
        if name == "code_version":
            changes += code_changes(code, _code(api, before.parent, _stage(task.name)))
        elif name in IDS:
            changes.append(f"{name} changed")
        else:
            changes.append(f"{name} {_short(old.get(name))} -> {_short(new.get(name))}")
    return "; ".join(changes)


def _stage(name: str) -> str:
    return name.partition("_")[0]


def _code(api: Api, run_id: str, stage: str) -> dict[str, str]:
    """Return the digests of the stage's code in a run; empty when that run is gone."""
    run = fetch(api, [run_id], f"configuration.{CODE}").get(run_id)
    return dict(run.stored(CODE).get(stage, {})) if run else {}


def code_changes(new: Mapping[str, str], old: Mapping[str, str]) -> list[str]:
    """Describe the difference of two sets of digests, a phrase for each of the first few files."""
    if not new or not old:
        return ["its code changed"]
    parts = sorted(part for part in new.keys() | old.keys() if new.get(part) != old.get(part))
    shown = [_part_change(part, new, old) for part in parts[:SHOWN_FILES]]
    hidden = len(parts) - len(shown)
    return [*shown, f"{hidden} more files changed"] if hidden else shown


def _part_change(part: str, new: Mapping[str, str], old: Mapping[str, str]) -> str:
    if part.split(".")[0] not in ("planets", "steps"):
        return f"{part} {old.get(part, 'absent')} -> {new.get(part, 'absent')}"
    file = f"{part.replace('.', '/')}.py"
    if part not in old:
        return f"{file} is new"
    return f"{file} changed" if part in new else f"{file} is gone"


def _short(value: str | None) -> str:
    text = value or "none"
    return text if len(text) <= 24 else f"{text[:20]}..."
