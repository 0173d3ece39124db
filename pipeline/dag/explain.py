"""Why a step ran: what differs from the last time that a step of this name completed."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.api import Api
from pipeline.config.parameters import CODE

FIELDS = ("id", "name", "parent", "project", "hyperparams.kwargs", "created", "tags")

LOST = "lost:"
"""How the tag begins that names a worker which vanished from a step; another one took the step up."""

SHOWN = 3
"""So many changed files are named, the others are counted."""


def explain(api: Api, run_id: str, task_id: str, refreshed: frozenset[str]) -> str:
    """One line: why the step that `task_id` does ran in this run or did not, and which workers it lost."""
    task = _task(api, task_id)
    if not task or task["parent"] != run_id:
        return f"same inputs and code as in task {task_id}"
    tags = [tag.removeprefix(LOST) for tag in task.get("tags") or [] if tag.startswith(LOST)]
    lost = [f"worker {worker} was lost, another took it up" for worker in tags]
    return "; ".join([_reason(api, task, refreshed), *lost])


def _reason(api: Api, task: Mapping[str, Any], refreshed: frozenset[str]) -> str:
    ended = _tried(api, task)
    if ended:
        return f"it {ended} when this run was tried before"
    if task["name"] in refreshed:
        return "refresh was asked for"
    before = _before(api, task)
    if before is None:
        return "first run of this step"
    changed = _changes(api, task, before, task["name"].partition("_")[0])
    return "; ".join(changed) or "the last one's result is gone or was archived"


def _tried(api: Api, task: Mapping[str, Any]) -> str:
    """How this step ended earlier in the same run, if the run goes on after it."""
    found = api.call(
        "tasks.get_all",
        parent=task["parent"],
        name=f"^{task['name']}$",
        status=["failed", "stopped"],
        order_by=["-created"],
        only_fields=["id", "status", "created"],
        search_hidden=True,
    )["tasks"]
    ended = [each["status"] for each in found if each["created"] < task["created"]]
    return {"failed": "failed", "stopped": "was stopped"}[ended[0]] if ended else ""


def _task(api: Api, task_id: str) -> dict[str, Any]:
    found = api.call("tasks.get_all", id=[task_id], only_fields=list(FIELDS), search_hidden=True)["tasks"]
    return dict(found[0]) if found else {}


def _before(api: Api, task: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last task of the same name in the same project that completed before `task` was made."""
    found = api.call(
        "tasks.get_all",
        project=[task["project"]],
        name=f"^{task['name']}$",
        status=["completed", "published"],
        system_tags=["-archived"],
        order_by=["-created"],
        only_fields=list(FIELDS),
        search_hidden=True,
        page=0,
        page_size=50,
    )["tasks"]
    return next((each for each in found if each["created"] < task["created"]), None)


def _changes(api: Api, task: Mapping[str, Any], before: Mapping[str, Any], stage: str) -> list[str]:
    now, then = _parameters(task), _parameters(before)
    changes = []
    for name in sorted(now.keys() | then.keys()):
        if now.get(name) == then.get(name):
            continue
        if name == "code_version":
            changes += _code_changes(_code(api, task, stage), _code(api, before, stage))
        elif name in ("dataset_id", "split_id", "train_id", "candidates", "content_hash", "champion"):
            changes.append(f"{name} is another")
        else:
            changes.append(f"{name} {_short(then.get(name))} -> {_short(now.get(name))}")
    return changes


def _parameters(task: Mapping[str, Any]) -> dict[str, str]:
    """The step's parameters, those in its JSON text `settings` spread out."""
    section = (task.get("hyperparams") or {}).get("kwargs") or {}
    values = {name: item.get("value") for name, item in section.items()}
    settings = json.loads(values.pop("settings", None) or "{}")
    return values | {name: json.dumps(value) for name, value in settings.items()}


def _code(api: Api, task: Mapping[str, Any], stage: str) -> dict[str, str]:
    """What the stage could reach in the run that made `task`; empty when that run is gone."""
    answer = api.call("tasks.get_configurations", tasks=[task["parent"]], names=[CODE])["configurations"]
    texts = [item["value"] for each in answer for item in each["configuration"] if item["name"] == CODE]
    return dict(json.loads(texts[0])[stage]) if texts else {}


def _code_changes(now: Mapping[str, str], then: Mapping[str, str]) -> list[str]:
    if not now or not then:
        return ["its code changed"]
    parts = sorted(part for part in now.keys() | then.keys() if now.get(part) != then.get(part))
    shown = [_part_change(part, now, then) for part in parts[:SHOWN]]
    return [*shown, f"{len(parts) - SHOWN} more files changed"] if len(parts) > SHOWN else shown


def _part_change(part: str, now: Mapping[str, str], then: Mapping[str, str]) -> str:
    if part.split(".")[0] not in ("planets", "steps"):
        return f"{part} {then.get(part, 'absent')} -> {now.get(part, 'absent')}"
    file = f"{part.replace('.', '/')}.py"
    return (
        f"{file} is new" if part not in then else f"{file} is gone" if part not in now else f"{file} changed"
    )


def _short(value: str | None) -> str:
    text = value or "none"
    return text if len(text) <= 24 else f"{text[:20]}..."
