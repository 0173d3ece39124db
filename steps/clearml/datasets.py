"""Versions of the ClearML dataset: lookup by content or origin, upload, finalization."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clearml import Dataset, Task

from planets.archive.layout import is_chip
from planets.labels import LabelSet
from steps.clearml.chips import LABEL_SET, SOURCE, tag_value
from steps.clearml.task import CONTENT, DONE, content_tag, controller_of, current_task, exactly
from steps.clearml.uploads import (
    NotStored,
    close_dataset,
    dataset_fault,
    new_dataset,
    require_readable,
    upload_dataset,
)

MADE_BY_RUN = "made-by-run"
"""Tag of the versions that a run registers: the run has trained on them, so they start no other run."""


UNREADABLE = "unreadable"
"""Tag of a version whose files are lost. It has no other tag, so no run finds it by content or origin."""


class Registered(NamedTuple):
    """A finished dataset: its id, its content's hash, and its number of chips."""

    dataset_id: str
    content_hash: str
    chips: int


def finished(project: str, name: str, tag: str) -> list[str]:
    """Return the ids of the finished versions of this name that have this tag, oldest first."""
    versions = Dataset.list_datasets(
        dataset_project=project,
        partial_name=exactly(name),
        tags=[tag],
        only_completed=True,
        include_archived=False,
    )
    done = sorted(
        (version["created"], version["id"]) for version in versions if str(version["status"]) in DONE
    )
    return [dataset_id for _, dataset_id in done]


def find_content(project: str, name: str, content_hash: str) -> str | None:
    """Return the id of the oldest readable dataset of this name with this content, if there is one."""
    return next(_readable(finished(project, name, content_tag(content_hash))), None)


def find_registered(project: str, name: str, origin: str) -> Registered | None:
    """Return the newest readable dataset of this name that came from `origin`, if there is one."""
    dataset_id = next(_readable(reversed(finished(project, name, origin))), None)
    if dataset_id is None:
        return None
    entries = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True).file_entries_dict
    chips = sum(is_chip(PurePosixPath(path).name) for path in entries)
    return Registered(dataset_id, tag_value(dataset_id, CONTENT), chips)


def remember_origin(project: str, name: str, origin: str, dataset_id: str) -> None:
    """Tag the dataset `dataset_id`, draft or finished, with `origin`, and no other dataset any more."""
    for before in finished(project, name, origin):
        if before != dataset_id:
            task = Task.get_task(task_id=before)
            task.set_tags([tag for tag in task.get_tags() if tag != origin])
    Task.get_task(task_id=dataset_id).add_tags([origin])


def upload(project: str, name: str, content_hash: str, folder: Path, source: str, labels: LabelSet) -> str:
    """Upload `folder` as a new version of a dataset, still a draft, and return its id.

    Args:
        project: ClearML project of the dataset.
        name: its name.
        content_hash: hash of its content, see `planets.archive.audit.Audit`.
        folder: the chips and their table.
        source: origin of the chips: sample, local, clearml or kaggle:owner/name.
        labels: its label set, which later runs on the version take over.

    Raises:
        NotStored: a file was refused or lost; the draft is marked as failed.
    """
    tags = [content_tag(content_hash), f"{SOURCE}:{source}"]
    dataset = new_dataset(project, name, tags)
    Task.get_task(task_id=dataset.id).set_configuration_object(LABEL_SET, labels.model_dump_json(indent=2))
    try:
        upload_dataset(dataset, folder)
    except NotStored as error:
        Task.get_task(task_id=dataset.id).mark_failed(
            force=True, status_reason="not stored", status_message=str(error)
        )
        raise
    if controller_of(current_task()):
        Task.get_task(task_id=dataset.id).add_tags([MADE_BY_RUN])
    return str(dataset.id)


def finalize(dataset_id: str) -> None:
    """End the draft `dataset_id`, if it is one: its content can be read and never changes again.

    Raises:
        NotStored: a file of it is not stored, or its state was refused.
    """
    require_readable(dataset_id)
    dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    if not dataset.is_final():
        close_dataset(dataset)


def _readable(dataset_ids: Iterable[str]) -> Iterator[str]:
    """Yield the versions whose files are stored, and void the others, so that they are made again."""
    for dataset_id in dataset_ids:
        fault = dataset_fault(dataset_id)
        if fault:
            print(f"dataset {dataset_id} cannot be read: {fault}; it is void, and will not be found again")
            Task.get_task(task_id=dataset_id).set_tags([UNREADABLE])
        else:
            yield dataset_id
