"""One training, from a store of chips and an entry of models.yaml to the best weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from planets.chips.store import ChipStore
from planets.config.training import ModelEntry, TrainingSettings
from planets.training import TrainingError
from planets.training.callbacks import Reporter
from planets.training.distributed import train_together
from planets.training.trained_model import TrainedModel
from planets.training.trainer import Job, train


def fit(
    entry: ModelEntry,
    settings: TrainingSettings,
    store: ChipStore,
    labels: NDArray[np.uint8],
    parts: NDArray[np.str_],
    workdir: Path,
    reporter: Reporter | None = None,
    resume_from: Path | None = None,
) -> TrainedModel:
    """Train one model on the train part and keep the weights that score best on the valid part.

    The same seed gives the same numbers on a CPU, resumed or not. On a GPU, kernels may add in any order.

    Args:
        entry: the network.
        settings: the training.
        store: the chips, at `settings.image_size`.
        labels: 0/1 of shape `(N, 17)`, rows as in `store`, columns as in `LABELS`.
        parts: "train", "valid" or "test" for each row; test is not touched.
        workdir: where `last.ckpt` is written after every epoch.
        reporter: told about every epoch.
        resume_from: a `last.ckpt` of the same training, to go on from.

    Raises:
        ConfigError: there is no such architecture.
        WeightsError: the pretrained weights cannot be had.
        TrainingError: the loss is no longer finite, the data do not match, `precision` is beyond this
            machine, or the checkpoint is broken or of another training.
    """
    if store.size != settings.image_size:
        raise TrainingError(
            f"the chips are {store.size} px and training.image_size is {settings.image_size}; "
            "open the store with that size"
        )
    world = processes(settings)
    job = Job(entry, settings, store, labels, parts, workdir, resume_from)
    return train(job, reporter) if world == 1 else train_together(job, world, reporter)


def processes(settings: TrainingSettings) -> int:
    """Return how many processes `devices` asks for here: one per GPU; on the CPU just as it says.

    Raises:
        TrainingError: there are fewer GPUs, or the batch cannot be divided among so many.
    """
    gpus = torch.cuda.device_count()
    world = settings.devices or max(1, gpus)
    if gpus and world > gpus:
        raise TrainingError(f"training.devices is {world}, and this worker has {gpus} GPUs; set 0 for all")
    if settings.batch_size % world:
        raise TrainingError(
            f"training.batch_size {settings.batch_size} cannot be divided among {world} processes; make it a "
            "multiple"
        )
    return world
