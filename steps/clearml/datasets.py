"""Versions of the ClearML dataset: found by their content, uploaded, finished, and read on this host."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED

from clearml import Dataset, Task
from filelock import FileLock

from steps.clearml import task as tracking

SOURCE = "source"
"""Kind of the tag that tells where a dataset's chips came from, as in `source:sample`."""


def finished(project: str, name: str, tag: str) -> list[str]:
    """The ids of the finished versions of this name that have this tag, oldest first."""
    found = Dataset.list_datasets(
        dataset_project=project,
        partial_name=f"^{name}$",
        tags=[tag],
        only_completed=True,
        include_archived=False,
    )
    done = sorted((each["created"], each["id"]) for each in found if str(each["status"]) in tracking.DONE)
    return [dataset_id for _, dataset_id in done]


def find(project: str, name: str, content_hash: str) -> str | None:
    """The id of the oldest finished dataset of this name with this content, if there is one."""
    return next(iter(finished(project, name, tracking.content_tag(content_hash))), None)


def upload(project: str, name: str, content_hash: str, folder: Path, source: str) -> str:
    """Upload `folder` as a new version of a dataset, still a draft, and return its id.

    `source` is the origin of the chips: sample, local, clearml or kaggle:owner/name.

    The chips are JPEGs: they are stored, not compressed. Chunks are large, because every chunk writes the
    state of the whole dataset again.
    """
    tags = [tracking.content_tag(content_hash), f"{SOURCE}:{source}"]
    dataset = Dataset.create(dataset_name=name, dataset_project=project, dataset_tags=tags)
    dataset.add_files(folder, verbose=False)
    dataset.upload(
        show_progress=False,
        compression=ZIP_STORED,
        chunk_size=1024,
        preview=False,
        output_url=tracking.storage(),
    )
    return str(dataset.id)


def finalize(dataset_id: str) -> None:
    """End the draft `dataset_id`, if it is one: its content can be read and never changes again."""
    dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    if not dataset.is_final():
        dataset.finalize()


def local_copy(dataset_id: str) -> Path:
    """A read-only copy of a dataset on this host. Raises StepError when the dataset is gone.

    The lock is ours: two workers of a host can delete each other's half-extracted copy without it.
    """
    cache = tracking.host_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"dataset-{dataset_id}.lock"):
        dataset = Dataset.get(dataset_id=dataset_id, alias="chips", silence_alias_warnings=True)
        return Path(dataset.get_local_copy())


def content_of(dataset_id: str) -> str:
    """The content tag's value of a dataset: names the decoded store of its chips on every host."""
    return next(_tag_values(dataset_id, tracking.CONTENT))


def source_of(dataset_id: str) -> str:
    """Where a dataset was registered from; `unknown` for one that does not say so."""
    return next(_tag_values(dataset_id, SOURCE), "unknown")


def _tag_values(dataset_id: str, kind: str) -> Iterator[str]:
    tags: list[str] = Task.get_task(task_id=dataset_id).get_tags()
    return (tag.removeprefix(f"{kind}:") for tag in tags if tag.startswith(f"{kind}:"))
