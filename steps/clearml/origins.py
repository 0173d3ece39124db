"""Where registered datasets came from: a tag by which a source is known again without fetching it."""

import hashlib
import json
from typing import NamedTuple

from clearml import Dataset, Task

from planets.sources.source import Source
from steps.clearml import datasets
from steps.clearml import task as tracking
from steps.clearml.code_version import closure

TAG = "origin:"
REFRESH = "Args/refresh"
"""The parameter of a run that names the steps to do whatever is there already."""

AUDIT = "planets.archive.audit"
"""What makes a dataset of a source: other code of it may find other chips to be good."""


class Registered(NamedTuple):
    """A finished dataset: its id, its content's hash, and how many chips it has."""

    dataset_id: str
    content_hash: str
    chips: int


def origin_of(source: Source, max_bad_fraction: float) -> str:
    """The tag of what a source gives: its stamp, the faults that are allowed, the code of the audit."""
    text = json.dumps([source.stamp(), max_bad_fraction, closure(AUDIT).version])
    return TAG + hashlib.sha256(text.encode()).hexdigest()[:32]


def find_registered(project: str, name: str, origin: str) -> Registered | None:
    """The newest finished dataset of this name that came from `origin`, if there is one."""
    known = datasets.finished(project, name, origin)
    if not known:
        return None
    dataset_id = known[-1]
    entries = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True).file_entries_dict
    chips = sum(path.endswith(".jpg") for path in entries)
    return Registered(dataset_id, datasets.content_of(dataset_id), chips)


def remember_origin(project: str, name: str, origin: str, dataset_id: str) -> None:
    """Let `origin` lead to the dataset `dataset_id` from now on, draft or finished, and to no other."""
    before = find_registered(project, name, origin)
    if before is not None and before.dataset_id != dataset_id:
        task = Task.get_task(task_id=before.dataset_id)
        task.set_tags([tag for tag in task.get_tags() if tag != origin])
    Task.get_task(task_id=dataset_id).add_tags([origin])


def is_refreshed(step: str) -> bool:
    """Whether this task, or the run that it belongs to, was told to do `step` whatever is there already."""
    task = tracking.current_task()
    run = Task.get_task(task_id=task.parent) if task.parent else task
    return step in [word.strip() for word in (run.get_parameter(REFRESH) or "").split(",")]
