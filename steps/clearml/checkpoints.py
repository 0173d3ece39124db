"""The checkpoint of a training, kept with its task: a worker that takes the task over goes on from it."""

import time
from pathlib import Path

from clearml import Task

from steps.clearml import task as tracking

ARTIFACT = "checkpoint"
UPLOAD_SECONDS = 60
"""At most this much work is lost with a worker; uploading more often would slow small trainings down."""


def earlier_checkpoint() -> Path | None:
    """The checkpoint that an earlier worker left with this task, or with one that this one stands in for."""
    task = tracking.current_task()
    # Our epochs count on; ClearML would add them to the last iteration that it knows.
    task.set_initial_iteration(0)
    holder = task.id if ARTIFACT in task.artifacts else _stopped_equal(task)
    return tracking.artifact_file(holder, ARTIFACT) if holder else None


def _stopped_equal(task: Task) -> str | None:
    """The last task of the same run, with the same inputs and code, that stopped and left a checkpoint.

    A run that is resumed makes a new task for a training that was stopped. ClearML keeps the digest of a
    step's inputs and code with its task: by that its cache finds equal steps.
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
    return next((each for each in equal if ARTIFACT in Task.get_task(task_id=each).artifacts), None)


class Uploader:
    """Reports each epoch, and uploads the checkpoint when the last upload is long enough ago."""

    def __init__(self, checkpoint: Path) -> None:
        """`checkpoint` is the file that the training replaces after each epoch."""
        self._checkpoint = checkpoint
        self._uploaded = time.monotonic()

    def __call__(self, epoch: int, metrics: dict[str, float]) -> None:
        """Be told of an epoch that has ended."""
        tracking.report_epoch(epoch, metrics)
        if time.monotonic() - self._uploaded < UPLOAD_SECONDS:
            return
        self._uploaded = time.monotonic()
        task = tracking.current_task()
        task.upload_artifact(ARTIFACT, self._checkpoint, wait_on_upload=True)
