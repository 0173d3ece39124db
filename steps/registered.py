"""A dataset version that is registered in ClearML already: taken as it is, whoever registered it."""

from pathlib import Path

from clearml import Dataset, Task

from steps import tracking
from steps.errors import StepError

MADE_BY_RUN = "made-by-run"
"""Tag of the versions that a run registers: what a run has trained on starts no other run."""


def registered_folder(dataset_id: str) -> Path:
    """A read-only copy of the version `dataset_id` on this host.

    Raises:
        StepError: the server has no such dataset, or it is still a draft.
    """
    try:
        dataset = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True)
    except ValueError as error:
        raise StepError(f"dataset_id: the server has no dataset {dataset_id!r}: {error}") from error
    if not dataset.is_final():
        raise StepError(
            f"dataset_id: the dataset {dataset_id} is a draft, which can still change; "
            f"finalize it first: clearml-data close --id {dataset_id}"
        )
    return tracking.local_dataset(dataset_id)


def adopt(dataset_id: str, content_hash: str) -> None:
    """Tag a version with its content, as versions that a run registers are: it is found by it again."""
    Task.get_task(task_id=dataset_id).add_tags([tracking.content_tag(content_hash)])


def mark_made_by_run(dataset_id: str) -> None:
    """Tag a draft as one that a run made."""
    Task.get_task(task_id=dataset_id).add_tags([MADE_BY_RUN])
