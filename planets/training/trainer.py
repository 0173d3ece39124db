"""One process's part in a training, as Lightning runs it; usually there is only this one."""

from __future__ import annotations

import logging
import pickle
import warnings
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from numpy.typing import NDArray

from planets.chips.store import ChipStore
from planets.config.training import ModelEntry, TrainingSettings
from planets.labels import LABELS
from planets.training import TrainingError
from planets.training.callbacks import Journal, Reporter
from planets.training.datamodule import ChipsDataModule, channel_statistics
from planets.training.model import build_model, pretrained_statistics
from planets.training.module import ChipClassifier
from planets.training.rank import ALONE, Rank
from planets.training.trained_model import TrainedModel

_UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError)


@dataclass(frozen=True, eq=False)
class Job:
    """What is trained on what; the fields are the arguments of `training.fit`, which says more."""

    entry: ModelEntry
    settings: TrainingSettings
    store: ChipStore
    labels: NDArray[np.uint8]
    parts: NDArray[np.str_]
    workdir: Path
    resume_from: Path | None


def train(job: Job, reporter: Reporter | None = None, rank: Rank = ALONE) -> TrainedModel:
    """Do this process's part of a job; the result is whole in the process of index 0.

    Raises:
        ConfigError, WeightsError, TrainingError: as `training.fit`.
    """
    settings = job.settings
    torch.manual_seed(settings.seed)
    network = build_model(
        job.entry, job.labels.shape[1], settings.image_size, settings.drop_rate, settings.drop_path
    )
    network.to(memory_format=torch.channels_last)
    if job.entry.pretrained or job.entry.weights:
        mean, std = pretrained_statistics(network)
    else:
        mean, std = channel_statistics(job.store, np.flatnonzero(job.parts == "train"))
    device = torch.device(f"cuda:{rank.index}" if torch.cuda.is_available() else "cpu")
    data = ChipsDataModule(job.store, job.labels, job.parts, settings, mean, std, device, rank)
    batches = data.train_batches(epoch=0)
    module = ChipClassifier(network, settings, ceil(len(batches) / settings.accumulate) * settings.epochs)
    journal = Journal(job.entry, settings, batches.chips, job.workdir, reporter)
    job.workdir.mkdir(parents=True, exist_ok=True)
    if job.resume_from:
        _check_checkpoint(job.resume_from, journal)
    _run(_trainer(settings, journal, job.workdir, rank), module, data, job.resume_from)
    return TrainedModel(
        weights=journal.weights,
        architecture=job.entry.architecture,
        labels=LABELS,
        image_size=settings.image_size,
        mean=mean,
        std=std,
        metric=settings.checkpoint_metric,
        score=journal.history[journal.best_epoch - 1][f"valid_{settings.checkpoint_metric}"],
        best_epoch=journal.best_epoch,
        history=journal.history,
    )


def precision_for(asked: Literal["auto", "32-true", "bf16-mixed"]) -> Literal["32-true", "bf16-mixed"]:
    """Return the precision to train in: `auto` is bf16 on a GPU that has it; CPUs are slow in it.

    Raises:
        TrainingError: bf16 is asked for where no GPU has it.
    """
    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "bf16-mixed" and not able:
        raise TrainingError("training.precision is bf16-mixed, and this machine has no GPU for it; set auto")
    return "bf16-mixed" if able and asked != "32-true" else "32-true"


def _trainer(settings: TrainingSettings, journal: Journal, workdir: Path, rank: Rank) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    gpu = torch.cuda.is_available()
    stop = EarlyStopping(
        f"valid_{settings.checkpoint_metric}",
        patience=settings.patience,
        mode="min" if settings.checkpoint_metric == "loss" else "max",
    )
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=rank.world,
        strategy=_strategy(settings, rank),
        precision=precision_for(settings.precision),
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip or None,
        accumulate_grad_batches=settings.accumulate,
        # Each epoch has its own order, which the loader is made with.
        reload_dataloaders_every_n_epochs=1,
        benchmark=gpu,
        callbacks=[journal, *([stop] if settings.patience else [])],
        default_root_dir=workdir,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _strategy(settings: TrainingSettings, rank: Rank) -> str:
    if rank.world == 1:
        return "auto"
    # A frozen body has no gradients to wait for.
    return "ddp_find_unused_parameters_true" if settings.freeze_epochs else "ddp"


def _run(trainer: Trainer, module: ChipClassifier, data: ChipsDataModule, resume_from: Path | None) -> None:
    with warnings.catch_warnings():
        # Lightning 2.6 calls torch's tree functions by their old name; there is nothing to do about it here.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)


def _check_checkpoint(file: Path, journal: Journal) -> None:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["callbacks"][journal.state_key]
    except _UNREADABLE as error:
        raise TrainingError(f"{file} is no checkpoint of a training ({error!r}); start anew") from error
    journal.require_same(state)
    print(f"{journal.entry.name}  going on after epoch {len(state['history'])}", flush=True)
