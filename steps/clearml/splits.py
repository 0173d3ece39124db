"""The split that a dataset's version grows from: the one of an earlier version, with the same settings."""

from dataclasses import dataclass

import pandas as pd
from clearml import Dataset, Task

from steps.clearml.artifacts import artifact_file
from steps.clearml.chips import SPLIT
from steps.clearml.errors import StepError
from steps.clearml.task import DONE, current_task, split_tag


@dataclass(frozen=True)
class EarlierSplit:
    """A stored split.

    Attributes:
        split_id: task that stored it.
        dataset_id: version whose chips it divides.
        table: columns `name`, `part` and, unless an earlier version of this project wrote it, `digest`.
    """

    split_id: str
    dataset_id: str
    table: pd.DataFrame


def earlier_split(dataset_id: str, valid: float, test: float, seed: int) -> EarlierSplit | None:
    """Return the split that a version must keep, if there is one: that of its nearest ancestor.

    An ancestor that was never split with these settings is passed over; of several splits of one ancestor,
    the oldest counts, as in `canonical`.

    Raises:
        StepError: its table cannot be read.
    """
    for ancestor in _ancestors(dataset_id):
        tasks = Task.query_tasks(
            tags=[split_tag(ancestor, valid, test, seed)],
            task_filter={
                "status": list(DONE),
                "system_tags": ["-archived"],
                "order_by": ["created"],
                "search_hidden": True,
            },
        )
        if not tasks:
            continue
        try:
            table = pd.read_csv(artifact_file(tasks[0], SPLIT), dtype=str, keep_default_na=False)
        except StepError as error:
            raise StepError(
                f"the split of the earlier version {ancestor} must be kept, but {error} "
                f"`--dataset-id {ancestor}`, or archive task {tasks[0]} to split without it"
            ) from error
        return EarlierSplit(str(tasks[0]), ancestor, table)
    return None


def note_split(dataset_id: str, valid: float, test: float, seed: int, earlier: EarlierSplit | None) -> None:
    """Tag this task as a split of a version, and show which split it extends among its user properties."""
    task = current_task()
    task.add_tags([split_tag(dataset_id, valid, test, seed)])
    if earlier:
        task.set_user_properties(extends_split=earlier.split_id, of_dataset=earlier.dataset_id)


def _ancestors(dataset_id: str) -> list[str]:
    """Return the versions that a version was made from, directly or not, the nearest first."""
    graph = Dataset.get(dataset_id=dataset_id, silence_alias_warnings=True).get_dependency_graph()
    ids = {dataset_id, *graph, *(parent for parents in graph.values() for parent in parents)} - {dataset_id}
    # A version is created after its parents.
    by_age = {"id": sorted(ids), "order_by": ["-created"], "search_hidden": True}
    return [str(ancestor) for ancestor in Task.query_tasks(task_filter=by_age)] if ids else []
