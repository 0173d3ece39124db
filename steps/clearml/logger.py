"""Lightning's logger for a training that runs as a ClearML task: scalars and the checkpoint."""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers import Logger

from steps.clearml.models import CHECKPOINT
from steps.clearml.task import current_task
from steps.clearml.uploads import NotStored, upload_artifact

UPLOAD_SECONDS = 60
"""A lost worker costs at most this much work; uploading more often would slow small trainings down."""


class TaskLogger(Logger):
    """Reports the rows of a training's history as scalars of the current task, and uploads its checkpoints.

    Lightning tells loggers of a checkpoint when its file is complete. A callback would come too early: those
    that save checkpoints run after all others.
    """

    def __init__(self) -> None:
        """Wait `UPLOAD_SECONDS` before the first upload, too."""
        super().__init__()
        self._uploaded = time.monotonic()

    @property
    def name(self) -> str:
        """Name of the task."""
        return str(current_task().name)

    @property
    def version(self) -> str:
        """Id of the task."""
        return str(current_task().id)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Report a point per metric; `train_loss` and `valid_loss` are two series of the plot `loss`."""
        logger = current_task().get_logger()
        for metric, value in metrics.items():
            series, _, title = metric.partition("_")
            if series not in ("train", "valid"):
                series, title = metric, metric
            logger.report_scalar(title=title, series=series, value=value, iteration=step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Report nothing: the step's parameters are in the task already."""

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Upload the checkpoint as an artifact of the task if the last upload is long enough ago.

        A checkpoint that cannot be stored is reported and does not end the training: it only insures it.
        """
        if time.monotonic() - self._uploaded < UPLOAD_SECONDS:
            return
        self._uploaded = time.monotonic()
        # Without a monitored metric, Lightning's "best" checkpoint is the latest.
        file = Path(cast(ModelCheckpoint, checkpoint_callback).best_model_path)
        try:
            upload_artifact(CHECKPOINT, file)
        except NotStored as error:
            print(f"{error}; the training continues, and tries again in {UPLOAD_SECONDS} s", flush=True)
