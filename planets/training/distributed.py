"""Training by several processes of this machine, one per GPU, each with its share of every batch."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from planets.system import thread_count
from planets.training import TrainingError
from planets.training.trained_model import TrainedModel

_RESULT = "together.safetensors"

_GRACE_SECONDS = 1.0
"""Time that ranks have to end by themselves, and again after SIGTERM, once one of them has failed."""


@dataclass(frozen=True)
class Rank:
    """The index of a process among the `world` that train together."""

    index: int = 0
    world: int = 1


ALONE = Rank()

_start_processes: Any = start_processes  # untyped

Train = Callable[[Logger | None, Rank], TrainedModel]
"""One rank's part of a training; only the result of rank 0 counts. Must be picklable."""


def train_on_ranks(train: Train, world: int, workdir: Path, logger: Logger | None) -> TrainedModel:
    """Run `train` in `world` processes and return what rank 0 returned; `logger` is called in this process.

    Lightning starts its ranks by the same torch launcher (`ddp_spawn`), but runs loggers inside of rank 0,
    where a logger that is bound to this process cannot work.

    Raises:
        TrainingError: a rank failed or was killed. The others are ended at once, not when their collective
            operation times out.
    """
    events, sender = get_context("spawn").Pipe(duplex=False)
    # Spawned, not forked: the caller may run threads, as the ClearML SDK does.
    ranks: ProcessContext = _start_processes(
        _run_rank,
        (world, find_free_network_port(), train, workdir, sender),
        nprocs=world,
        join=False,
        start_method="spawn",
    )
    try:
        _follow(ranks, events, logger)
    finally:
        # Whatever ends this function, an interrupt included, ends the ranks.
        for process in ranks.processes:
            process.kill()
    return TrainedModel.load(workdir / _RESULT)


def _follow(ranks: ProcessContext, events: Connection, logger: Logger | None) -> None:
    """Deliver events to the logger until all ranks have ended."""
    try:
        while True:
            finished = ranks.join(timeout=0, grace_period=_GRACE_SECONDS)
            while events.poll():
                _deliver(events.recv(), logger)
            if finished:
                return
            wait([events, *ranks.sentinels])
    except ProcessRaisedException as error:
        last_line = str(error).strip().splitlines()[-1]
        raise TrainingError(f"rank {error.error_index} of the training failed: {last_line}") from error
    except ProcessExitedException as error:
        ending = error.signal_name or f"exit code {error.exit_code}"
        raise TrainingError(
            f"rank {error.error_index} of the training ended early ({ending}); a worker that runs out of "
            "memory kills processes with SIGKILL"
        ) from error


def _deliver(event: dict[str, Any], logger: Logger | None) -> None:
    if logger is None:
        return
    if "checkpoint" in event:
        saved = ModelCheckpoint()
        saved.best_model_path = event["checkpoint"]
        logger.after_save_checkpoint(saved)
    else:
        logger.log_metrics(**event)


class _Relay(Logger):
    """The logger of rank 0: sends what it gets to the process that started the ranks."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self._sender = sender

    @property
    def name(self) -> str:
        return "relay"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._sender.send({"metrics": metrics, "step": step})

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Send nothing: `ChipClassifier` has no hyperparameters to log."""

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        self._sender.send({"checkpoint": cast(ModelCheckpoint, checkpoint_callback).best_model_path})


def _run_rank(index: int, world: int, port: int, train: Train, workdir: Path, sender: Connection) -> None:
    """Be one of the ranks; Lightning finds the others by the environment."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(index),
    }
    torch.set_num_threads(max(1, thread_count() // world))
    trained = train(_Relay(sender) if index == 0 else None, Rank(index, world))
    if index == 0:
        trained.save(workdir / _RESULT)
