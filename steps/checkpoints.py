"""The checkpoint of a training, kept with its task: a worker that takes the task over goes on from it."""

import time
from pathlib import Path

from steps import tracking

ARTIFACT = "checkpoint"
UPLOAD_SECONDS = 60
"""At most this much work is lost with a worker; uploading more often would slow small trainings down."""


def earlier_checkpoint() -> Path | None:
    """The checkpoint that an earlier worker left with this task, if it did."""
    task = tracking.current_task()
    if ARTIFACT not in task.artifacts:
        return None
    # Our epochs count on; ClearML would add them to the last iteration that it knows.
    task.set_initial_iteration(0)
    return tracking.artifact_file(task.id, ARTIFACT)


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
