"""One training, from a store of chips and an entry of models.yaml to the best weights."""

from __future__ import annotations

import logging
import pickle
import warnings
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from numpy.typing import NDArray

from planets.chips import ChipStore
from planets.config import ModelEntry, TrainingSettings
from planets.data import ChipsDataModule, channel_statistics
from planets.errors import TrainingError
from planets.fitted import Fitted
from planets.journal import Journal, Reporter
from planets.labels import LABELS
from planets.model import build_model, pretrained_statistics
from planets.module import ChipClassifier

_UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError)


def fit(
    entry: ModelEntry,
    settings: TrainingSettings,
    store: ChipStore,
    labels: NDArray[np.uint8],
    parts: NDArray[np.str_],
    workdir: Path,
    reporter: Reporter | None = None,
    resume_from: Path | None = None,
) -> Fitted:
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
    torch.manual_seed(settings.seed)
    network = build_model(entry, labels.shape[1], settings.image_size, settings.drop_rate, settings.drop_path)
    network.to(memory_format=torch.channels_last)
    if entry.pretrained or entry.weights:
        mean, std = pretrained_statistics(network)
    else:
        mean, std = channel_statistics(store, np.flatnonzero(parts == "train"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = ChipsDataModule(store, labels, parts, settings, mean, std, device)
    batches = data.train_batches(epoch=0)
    module = ChipClassifier(network, settings, ceil(len(batches) / settings.accumulate) * settings.epochs)
    journal = Journal(entry, settings, batches.chips, workdir, reporter)
    workdir.mkdir(parents=True, exist_ok=True)
    if resume_from:
        _check_checkpoint(resume_from, journal)
    _run(_trainer(settings, journal, workdir), module, data, resume_from)
    return Fitted(
        weights=journal.weights,
        architecture=entry.architecture,
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


def _trainer(settings: TrainingSettings, journal: Journal, workdir: Path) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    gpu = torch.cuda.is_available()
    stop = EarlyStopping(
        f"valid_{settings.checkpoint_metric}",
        patience=settings.patience,
        mode="min" if settings.checkpoint_metric == "loss" else "max",
    )
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
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
