"""Sources of a run's chips: those of the settings, or a version that ClearML already has."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from clearml import Dataset, Task

from planets.labels import LabelSet
from planets.sources.source import Source, source_of
from steps.clearml.chips import LABEL_SET, local_copy
from steps.clearml.code_version import code_of_module
from steps.clearml.errors import StepError
from steps.clearml.task import content_tag, host_cache

ORIGIN = "origin:"

AUDITED = "audited"
"""Kind of the tag that names the code that decoded all chips of a dataset, as in `audited:<version>`."""

AUDIT = "planets.archive.audit"
"""Module that turns a source into a dataset: other code may accept other chips."""

SAMPLE = "planets.synthetic.sample"
"""Module that draws the synthetic sample: other code may draw other chips."""


def project_source(kind: str, path: str, kaggle: str, chips: int, seed: int) -> Source:
    """Return the source that the settings name: `sample`, `local` or `kaggle`."""
    drawn_by = code_of_module(SAMPLE).version
    return source_of(kind, host_cache() / "sources", path, kaggle, chips, seed, drawn_by)


def origin_of(source: Source, labels: LabelSet, max_bad_fraction: float) -> str:
    """Return the tag of a source's chips: digest of stamp, labels, tolerated faults and the audit's code."""
    parts = [source.stamp(), labels.labels, max_bad_fraction, code_of_module(AUDIT).version]
    text = json.dumps(parts)
    return ORIGIN + hashlib.sha256(text.encode()).hexdigest()[:32]


def audit_tag() -> str:
    """Return the tag of datasets whose chips this host's code has found to be good."""
    return f"{AUDITED}:{code_of_module(AUDIT).version}"


@dataclass(frozen=True)
class RegisteredVersion:
    """The dataset version `dataset_id` as a `planets.sources.source.Source`, used as is."""

    dataset_id: str

    def stamp(self) -> str:
        """Return its id: a finished version never changes.

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
        """Return a read-only copy on this host."""
        return local_copy(self.dataset_id)

    def label_set(self) -> LabelSet | None:
        """Return the label set that is stored with it, if there is one."""
        stored = Task.get_task(task_id=self.dataset_id).get_configuration_object(LABEL_SET)
        return LabelSet.model_validate_json(stored) if stored else None

    def adopt(self, content_hash: str) -> str:
        """Tag it with its content, like the versions that a run registers, and return its id."""
        Task.get_task(task_id=self.dataset_id).add_tags([content_tag(content_hash)])
        return self.dataset_id
