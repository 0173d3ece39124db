"""The checkpoint that a training keeps with its task, for a worker that takes the training over."""

from pathlib import Path

from clearml import Task

from steps.clearml.artifacts import artifact_file
from steps.clearml.task import current_task

ARTIFACT = "checkpoint"


def earlier_checkpoint() -> Path | None:
    """Return the checkpoint of an earlier attempt at this task, or of a stopped task that it repeats."""
    task = current_task()
    # Our epochs continue by themselves; ClearML would add them to the last iteration that it knows.
    task.set_initial_iteration(0)
    holder = task.id if ARTIFACT in task.artifacts else _stopped_equal(task)
    return artifact_file(holder, ARTIFACT) if holder else None


def _stopped_equal(task: Task) -> str | None:
    """Return the latest stopped task of the same run, inputs and code that left a checkpoint.

    A resumed run creates a new task for a training that was stopped. ClearML stores the digest of a step's
    inputs and code in its task; its cache finds equal steps by the same digest.
    """
    digest = task.data.runtime.get("pipeline_job_hash")
    equal = Task.query_tasks(
        task_filter={
            "parent": task.parent,
            "status": ["stopped", "failed"],
            "_all_": {"fields": ["runtime.pipeline_job_hash"], "pattern": f"^{digest}$"},
            "order_by": ["-created"],
            "search_hidden": True,
        },
    )
    return next((task_id for task_id in equal if ARTIFACT in Task.get_task(task_id=task_id).artifacts), None)
