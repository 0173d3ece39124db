"""A training from beginning to end: `fit` for all processes, `train` for one of them."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray
from torch import nn

from planets.chips import Channels
from planets.chips.store import ChipStore
from planets.config.training import ModelEntry, TrainingSettings
from planets.system import atomic_write
from planets.training import TrainingError
from planets.training.callbacks import BestWeights, EpochLines, EpochSeed, HeadFirst, History, WarmupAverage
from planets.training.datamodule import ChipsDataModule, channel_statistics
from planets.training.distributed import ALONE, Rank, train_on_ranks
from planets.training.model import build_model, pretrained_statistics
from planets.training.module import ChipClassifier
from planets.training.trained_model import TrainedModel

CHECKPOINT = "last.ckpt"

_UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError)
"""Errors of torch for a file that is not a checkpoint; they have no common base."""

_HARMLESS_WARNINGS = (
    (r"`isinstance\(treespec, LeafSpec\)`", FutureWarning),  # Lightning 2.6 calls a torch function that moved
    ("Checkpoint directory .* exists and is not empty", UserWarning),  # the caller keeps other files there
    ("The dirpath has changed", UserWarning),  # resumed on another host; BestWeights knows the best epoch
    ("No positive samples found in target", UserWarning),  # a label without chips, excluded from the mean
)


def fit(
    entry: ModelEntry,
    settings: TrainingSettings,
    store: ChipStore,
    labels: NDArray[np.uint8],
    names: Sequence[str],
    splits: NDArray[np.str_],
    workdir: Path,
    logger: Logger | None = None,
    resume_from: Path | None = None,
) -> TrainedModel:
    """Train one model on the train split and return the weights that score best on validation.

    On a CPU the same seed gives the same numbers, resumed or not. GPU kernels may add in any order.

    Args:
        entry: the network.
        settings: the training.
        store: the chips, at `settings.image_size`.
        labels: 0/1 of shape `(N, L)`, rows as in `store`, columns as in `names`.
        names: the L labels.
        splits: "train", "valid" or "test" for each row; test is not touched.
        workdir: folder for `last.ckpt`, written after every epoch.
        logger: receives each epoch's row of the history, with the epoch as the step, and each checkpoint.
            It is called in this process, even if several train.
        resume_from: a `last.ckpt` of the same training.

    Raises:
        ConfigError: timm has no such architecture or optimizer.
        WeightsError: the pretrained weights are unavailable.
        TrainingError: the loss is not finite, the data do not match, `precision` or `devices` exceed this
            machine, the checkpoint is broken or belongs to another training, or a process ended early.
    """
    if store.size != settings.image_size:
        raise TrainingError(
            f"the chips are {store.size} px and training.image_size is {settings.image_size}; "
            "open the store with that size"
        )
    workdir.mkdir(parents=True, exist_ok=True)
    work = partial(train, entry, settings, store, labels, names, splits, workdir, resume_from)
    world = world_size(settings)
    return work(logger) if world == 1 else train_on_ranks(work, world, workdir, logger)


def train(
    entry: ModelEntry,
    settings: TrainingSettings,
    store: ChipStore,
    labels: NDArray[np.uint8],
    names: Sequence[str],
    splits: NDArray[np.str_],
    workdir: Path,
    resume_from: Path | None,
    logger: Logger | None = None,
    rank: Rank = ALONE,
) -> TrainedModel:
    """Train as one of the processes; arguments and exceptions are those of `fit`."""
    torch.manual_seed(settings.seed)
    network = build_model(
        entry, labels.shape[1], settings.image_size, settings.drop_rate, settings.drop_path
    ).to(memory_format=torch.channels_last)
    mean, std = _statistics(entry, network, store, splits)
    device = torch.device(f"cuda:{rank.index}" if torch.cuda.is_available() else "cpu")
    data = ChipsDataModule(store, labels, splits, settings, mean, std, device, rank)
    batches = data.train_batches(epoch=0)
    steps = ceil(len(batches) / settings.accumulate) * settings.epochs
    module = ChipClassifier(network, settings, steps, labels.shape[1], entry.timm_name)
    if resume_from:
        _require_same_training(resume_from, dict(module.hparams))
    history, best = History(batches.chips), BestWeights(settings.checkpoint_metric)
    callbacks = _callbacks(entry.name, settings, history, best, workdir, device)
    trainer = _trainer(settings, callbacks, logger, workdir, rank.world)
    with warnings.catch_warnings():
        for message, category in _HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
    return TrainedModel(
        weights=best.weights,
        architecture=entry.timm_name,
        labels=tuple(names),
        image_size=settings.image_size,
        mean=mean,
        std=std,
        metric=settings.checkpoint_metric,
        score=best.score,
        best_epoch=best.epoch,
        history=history.rows,
    )


def world_size(settings: TrainingSettings) -> int:
    """Return the number of processes: one per GPU, or `devices`.

    Raises:
        TrainingError: this machine has fewer GPUs, or they cannot share a batch equally.
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


def precision_for(requested: Literal["auto", "32-true", "bf16-mixed"]) -> Literal["32-true", "bf16-mixed"]:
    """Return the precision to train in: `auto` is bf16 on a GPU that supports it, float32 elsewhere.

    Raises:
        TrainingError: bf16 is requested, and no GPU supports it; CPUs are slow in it.
    """
    supported = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if requested == "bf16-mixed" and not supported:
        raise TrainingError("training.precision is bf16-mixed, and this machine has no GPU for it; set auto")
    return "bf16-mixed" if supported and requested != "32-true" else "32-true"


class _WholeFiles(TorchCheckpointIO):
    """Replaces the last checkpoint by a complete new one: a killed process leaves a readable file.

    Lightning writes to the system's temporary folder first and moves the file from there, which is a copy
    that can be interrupted if the folder is on another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with atomic_write(Path(path)) as partial:
            super().save_checkpoint(checkpoint, partial, storage_options)


def _callbacks(
    name: str,
    settings: TrainingSettings,
    history: History,
    best: BestWeights,
    workdir: Path,
    device: torch.device,
) -> list[Callback]:
    """Return the callbacks in the order in which they depend on each other."""
    callbacks: list[Callback] = [EpochSeed(settings.seed), best]
    if settings.freeze_epochs:
        callbacks.append(HeadFirst(settings.freeze_epochs))
    if settings.ema_decay:
        callbacks.append(WarmupAverage(settings.ema_decay, device))
    callbacks += [history, EpochLines(name, settings, history, best)]
    if settings.patience:
        callbacks.append(EarlyStopping(best.monitor, patience=settings.patience, mode=best.mode))
    last = ModelCheckpoint(workdir, filename=Path(CHECKPOINT).stem, enable_version_counter=False)
    return [*callbacks, last]


def _trainer(
    settings: TrainingSettings, callbacks: list[Callback], logger: Logger | None, workdir: Path, world: int
) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    gpu = torch.cuda.is_available()
    # A frozen body has no gradients to wait for.
    ddp = "ddp_find_unused_parameters_true" if settings.freeze_epochs else "ddp"
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=world,
        strategy="auto" if world == 1 else ddp,
        precision=precision_for(settings.precision),
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip or None,
        accumulate_grad_batches=settings.accumulate,
        # Each epoch has an order of its own, fixed when the loader is created.
        reload_dataloaders_every_n_epochs=1,
        benchmark=gpu,
        callbacks=callbacks,
        plugins=[_WholeFiles()],
        default_root_dir=workdir,
        num_sanity_val_steps=0,
        logger=logger or False,
        log_every_n_steps=1,
        enable_model_summary=False,
    )


def _statistics(
    entry: ModelEntry, network: nn.Module, store: ChipStore, splits: NDArray[np.str_]
) -> tuple[Channels, Channels]:
    """Return mean and standard deviation for normalization: of the pretraining, else of the train split."""
    if entry.weights_kind != "none":
        return pretrained_statistics(network)
    return channel_statistics(store, np.flatnonzero(splits == "train"))


def _require_same_training(file: Path, expected: dict[str, Any]) -> None:
    """Check that a checkpoint belongs to a training of this network with these settings."""
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)["hyper_parameters"]
    except _UNREADABLE as error:
        raise TrainingError(f"{file} is no checkpoint of a training ({error!r}); start over") from error
    if changed := [
        f"{key} was {saved.get(key)}, is {value}"
        for key, value in expected.items()
        if saved.get(key) != value
    ]:
        raise TrainingError(f"{file} belongs to another training: {'; '.join(changed)}; start over")
