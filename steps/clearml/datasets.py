"""Versions of the ClearML dataset: lookup by content or origin, upload, finalization."""

from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_STORED

from clearml import Dataset, Task

from steps.clearml.chips import SOURCE, tag_value
from steps.clearml.task import (
    CONTENT,
    DONE,
    content_tag,
    controller_of,
    current_task,
    exactly,
    storage,
)

MADE_BY_RUN = "made-by-run"
"""Tag of the versions that a run registers: the run has trained on them, so they start no other run."""


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
    """Return the id of the oldest finished dataset of this name with this content, if there is one."""
    return next(iter(finished(project, name, content_tag(content_hash))), None)


def find_registered(project: str, name: str, origin: str) -> Registered | None:
    """Return the newest finished dataset of this name that came from `origin`, if there is one."""
    known = finished(project, name, origin)
    if not known:
        return None
    dataset_id = known[-1]
    entries = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True).file_entries_dict
    chips = sum(path.endswith(".jpg") for path in entries)
    return Registered(dataset_id, tag_value(dataset_id, CONTENT), chips)


def remember_origin(project: str, name: str, origin: str, dataset_id: str) -> None:
    """Tag the dataset `dataset_id`, draft or finished, with `origin`, and no other dataset any more."""
    before = find_registered(project, name, origin)
    if before is not None and before.dataset_id != dataset_id:
        task = Task.get_task(task_id=before.dataset_id)
        task.set_tags([tag for tag in task.get_tags() if tag != origin])
    Task.get_task(task_id=dataset_id).add_tags([origin])


def upload(project: str, name: str, content_hash: str, folder: Path, source: str) -> str:
    """Upload `folder` as a new version of a dataset, still a draft, and return its id.

    `source` is the origin of the chips: sample, local, clearml or kaggle:owner/name.

    The chips are JPEGs: they are stored, not compressed. Chunks are large, because every chunk writes the
    state of the whole dataset again.
    """
    tags = [content_tag(content_hash), f"{SOURCE}:{source}"]
    dataset = Dataset.create(dataset_name=name, dataset_project=project, dataset_tags=tags)
    dataset.add_files(folder, verbose=False)
    dataset.upload(
        show_progress=False,
        compression=ZIP_STORED,
        chunk_size=1024,
        preview=False,
        output_url=storage(),
    )
    if controller_of(current_task()):
        Task.get_task(task_id=dataset.id).add_tags([MADE_BY_RUN])
    return str(dataset.id)


def finalize(dataset_id: str) -> None:
    """End the draft `dataset_id`, if it is one: its content can be read and never changes again."""
    dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    if not dataset.is_final():
        dataset.finalize()
