"""The ClearML task that a step runs as: its run, its storage, and lookup of results by content."""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from clearml import Task
from clearml.backend_api import Session
from clearml.config import config

from steps.clearml.errors import StepError

DONE = ("completed", "published")
"""Statuses of a task whose results can be used."""

CONTENT = "content"
"""Kind of the tag that identifies content, as in `content:<hash>`."""

SPLIT_OF = "split"
"""Kind of the tag that names a dataset's version and the settings by which a task split it."""

REFRESHED = "refreshed"
"""Configuration object of a run, or of an upload: the steps that ignore earlier results, as JSON."""

FRAMEWORKS_OFF = dict.fromkeys(
    ("pytorch", "matplotlib", "joblib", "scikit", "tensorboard", "detect_repository"), False
)
"""Framework hooks are off: they would register every checkpoint as a model of its own."""


class ParentFailed(StepError):
    """A step that this one builds on did not complete."""


def current_task() -> Task:
    """Return the task that this process runs as. Raises StepError outside of one."""
    task = Task.current_task()
    if task is None:
        raise StepError("no ClearML task runs in this process: a step is started by an agent")
    return task


def controller_of(task: Task) -> str | None:
    """Return the id of the run that `task` is a step of, if it is one.

    A parent alone does not tell: the parent of a clone is its source.
    """
    if not task.parent:
        return None
    controllers = Task.query_tasks(
        task_filter={"id": [task.parent], "type": ["controller"], "search_hidden": True}
    )
    return str(controllers[0]) if controllers else None


def set_refreshed(task: Task, steps: Iterable[str]) -> None:
    """Store with a run's task, or an upload's, which steps ignore earlier results.

    It is no parameter of the steps: it would be a part of their cache keys, and the next run would find the
    result from before the refresh.
    """
    task.set_configuration_object(REFRESHED, json.dumps(sorted(steps)), config_type="json")


def is_refreshed(step: str) -> bool:
    """Return True if the current task, or the run that it belongs to, ignores earlier results of `step`."""
    task = current_task()
    run_id = controller_of(task)
    holder = Task.get_task(task_id=run_id) if run_id else task
    holder.reload()  # the SDK does not show what it has just stored
    return step in json.loads(holder.get_configuration_object(REFRESHED) or "[]")


def host_cache() -> Path:
    """Return ClearML's cache folder (`sdk.storage.cache.default_base_dir`), shared by this host's workers.

    Raises:
        StepError: this worker cannot write there.
    """
    folder = Path(config.get("storage.cache.default_base_dir")).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StepError(
            f"this worker cannot write ClearML's cache {folder}: {error.strerror}; let "
            "sdk.storage.cache.default_base_dir in its clearml.conf name another folder"
        ) from error
    return folder


def storage() -> str:
    """Return where this task stores files: `clearml.output_uri`, the worker's default, or the file server.

    ClearML leaves some files on the worker's disk where none of the first two is set.
    """
    return str(current_task().output_uri or Session.get_files_server_host())


def exactly(name: str) -> str:
    """Return the pattern that matches `name` alone: ClearML searches names by regular expressions."""
    return f"^{re.escape(name)}$"


def content_tag(content_hash: str) -> str:
    """Return the tag of a task or a dataset with this content."""
    return f"{CONTENT}:{content_hash}"


def split_tag(dataset_id: str, valid: float, test: float, seed: int) -> str:
    """Return the tag of the tasks that split this version of a dataset with these settings."""
    return f"{SPLIT_OF}:{dataset_id}:{valid}:{test}:{seed}"


def canonical(content_hash: str) -> str:
    """Return the id of the oldest completed task of this name and project with this content, or of this task.

    A stage that ran again with an identical result thus returns the same id, and its children stay cached.
    """
    task = current_task()
    task.add_tags([content_tag(content_hash)])
    earlier = Task.query_tasks(
        task_name=exactly(task.name),
        tags=[content_tag(content_hash)],
        task_filter={
            "project": [task.project],  # by id: a search by name passes over the hidden projects of pipelines
            "status": list(DONE),
            "system_tags": ["-archived"],
            "order_by": ["created"],
            "search_hidden": True,
        },
    )
    return str(next(iter(earlier), task.id))


def require_completed(task_id: str) -> Task:
    """Return the task `task_id`. Raises ParentFailed when it did not complete."""
    task = Task.get_task(task_id=task_id)
    if task.get_status() not in DONE:
        raise ParentFailed(f"step {task.name!r} did not complete: it is {task.get_status()}")
    return task
