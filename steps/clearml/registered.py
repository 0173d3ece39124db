"""A dataset version that is registered in ClearML already: taken as it is, whoever registered it."""

from dataclasses import dataclass
from pathlib import Path

from clearml import Dataset, Task

from steps.clearml import datasets
from steps.clearml import task as tracking
from steps.clearml.errors import StepError

MADE_BY_RUN = "made-by-run"
"""Tag of the versions that a run registers: what a run has trained on starts no other run."""


@dataclass(frozen=True)
class RegisteredVersion:
    """The version `dataset_id` as a source of chips, see `planets.sources.source.Source`."""

    dataset_id: str

    def stamp(self) -> str:
        """Its id: a finished version never changes.

        Raises:
            StepError: the server has no such dataset, or it is still a draft.
        """
        try:
            dataset = Dataset.get(dataset_id=self.dataset_id, silence_alias_warnings=True)
        except ValueError as error:
            raise StepError(f"dataset_id: the server has no dataset {self.dataset_id!r}: {error}") from error
        if not dataset.is_final():
            raise StepError(
                f"dataset_id: the dataset {self.dataset_id} is a draft, which can still change; "
                f"finalize it first: clearml-data close --id {self.dataset_id}"
            )
        return f"clearml {self.dataset_id}"

    def fetch(self) -> Path:
        """A read-only copy on this host."""
        return datasets.local_copy(self.dataset_id)

    def adopt(self, content_hash: str) -> str:
        """Tag it with its content, as versions that a run registers are, and return its id."""
        Task.get_task(task_id=self.dataset_id).add_tags([tracking.content_tag(content_hash)])
        return self.dataset_id


def mark_made_by_run(dataset_id: str) -> None:
    """Tag a draft as one that a run made, if this task is a run's step; an upload by itself is none."""
    if tracking.current_task().parent:
        Task.get_task(task_id=dataset_id).add_tags([MADE_BY_RUN])
