"""Versions of the ClearML dataset: lookup by content or origin, upload, finalization."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clearml import Dataset, Task

from planets.archive.layout import is_chip
from planets.labels import LabelSet
from steps.clearml.chips import LABEL_SET, tag_value
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


class Version(NamedTuple):
    """A finished dataset: its id, and the SHA-256 (hex) of each file by its path in the dataset."""

    dataset_id: str
    digests: Mapping[str, str]


def finished(project: str, name: str, tag: str = "") -> list[str]:
    """Return the ids of the finished versions of this name, oldest first; with a tag, only those with it."""
    versions = Dataset.list_datasets(
        dataset_project=project,
        partial_name=exactly(name),
        tags=[tag] if tag else None,
        only_completed=True,
        include_archived=False,
    )
    done = sorted(
        (version["created"], version["id"])
        for version in versions
        if str(version["status"]) in DONE and UNREADABLE not in version["tags"]
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


def versions(project: str, name: str, tag: str = "") -> Iterator[Version]:
    """Yield the readable versions of this name, newest first; with a tag, those that have it.

    Versions that link to files are passed over: ClearML may not know their digests.
    """
    yield from filter(None, map(_version, reversed(finished(project, name, tag))))


def newest(project: str, name: str, tag: str) -> Version | None:
    """Return the newest readable version of this name that has this tag, if there is one."""
    return next(versions(project, name, tag), None)


def parent_of(project: str, name: str, digests: Mapping[str, str]) -> Version | None:
    """Return the version that new content grows from, if there is one.

    Args:
        project: ClearML project of the dataset.
        name: its name.
        digests: of the content's chips, by path.

    Returns:
        The newest version that shares at least half of its chips with the content.
    """
    content = set(digests.values())
    for version in versions(project, name):
        chips = {digest for path, digest in version.digests.items() if is_chip(PurePosixPath(path).name)}
        if 2 * len(chips & content) >= len(chips) > 0:
            return version
    return None


def upload(
    project: str,
    name: str,
    tags: Sequence[str],
    labels: LabelSet,
    folder: Path,
    paths: Collection[str],
    parent: str | None = None,
) -> str:
    """Upload `folder` as a new version of a dataset, still a draft, and return its id.

    Args:
        project: ClearML project of the dataset.
        name: its name.
        tags: of the version: its content, its source, and the code that audited it.
        labels: its label set, which later runs on the version take over.
        folder: the table, and the chips that the parent does not have.
        paths: of all files of the version; those that are not in `folder` are the parent's.
        parent: version that holds the other files.

    Raises:
        NotStored: a file was refused or lost; the draft is marked as failed.
    """
    draft = new_dataset(project, name, tags, parent)
    Task.get_task(task_id=draft.id).set_configuration_object(LABEL_SET, labels.model_dump_json(indent=2))
    try:
        upload_dataset(draft, folder, paths)
    except NotStored as error:
        Task.get_task(task_id=draft.id).mark_failed(
            force=True, status_reason="not stored", status_message=str(error)
        )
        raise
    if controller_of(current_task()):
        Task.get_task(task_id=draft.id).add_tags([MADE_BY_RUN])
    return str(draft.id)


def finalize(dataset_id: str) -> None:
    """End the draft `dataset_id`, if it is one: its content can be read and never changes again.

    Raises:
        NotStored: a file of it is not stored.
    """
    require_readable(dataset_id)
    close_dataset(dataset_id)


@cache
def _version(dataset_id: str) -> Version | None:
    """Return a finished version, which never changes, unless it links to files or cannot be read."""
    if dataset_fault(dataset_id):
        return None
    dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    files = dataset.file_entries_dict
    return None if dataset.link_entries else Version(dataset_id, {path: files[path].hash for path in files})


def _readable(dataset_ids: Iterable[str]) -> Iterator[str]:
    """Yield the versions whose files are stored, and void the others, so that they are made again."""
    for dataset_id in dataset_ids:
        fault = dataset_fault(dataset_id)
        if fault:
            print(f"dataset {dataset_id} cannot be read: {fault}; it is void, and will not be found again")
            Task.get_task(task_id=dataset_id).set_tags([UNREADABLE])
        else:
            yield dataset_id
