"""A training by several processes of this machine, one per GPU, each with its share of every batch."""

from __future__ import annotations

import os
import socket
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessContext, ProcessRaisedException, spawn

from planets.system import usable_cores
from planets.training import TrainingError
from planets.training.callbacks import Reporter
from planets.training.rank import Rank
from planets.training.trained_model import TrainedModel
from planets.training.trainer import Job, train

_spawn: Any = spawn
_RESULT = "together.safetensors"


def train_together(job: Job, world: int, reporter: Reporter | None) -> TrainedModel:
    """Do a job with `world` processes; `reporter` is called in this one.

    Raises:
        TrainingError: one of them failed; the message ends with its error.
    """
    told, tell = get_context("spawn").Pipe(duplex=False)
    # Spawned, not forked: the caller may run threads, as the ClearML SDK does.
    children = _spawn(_work, (world, _free_port(), job, tell), world, join=False)
    tell.close()
    try:
        _tell(told, reporter)
        _await(children)
    finally:
        # Whatever ends this process's part ends theirs.
        for child in children.processes:
            child.kill()
    return TrainedModel.load(job.workdir / _RESULT)


def _tell(told: Connection, reporter: Reporter | None) -> None:
    """Hand on what the first process tells, until it ends."""
    while True:
        try:
            epoch, row = told.recv()
        except EOFError:
            return
        if reporter:
            reporter(epoch, row)


def _await(children: ProcessContext) -> None:
    try:
        while not children.join():
            continue
    except ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1]
        raise TrainingError(f"process {error.error_index} of the training failed: {last}") from error


def _work(index: int, world: int, port: int, job: Job, tell: Connection) -> None:
    """Be one of the processes; Lightning finds the others by the environment."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(index),
    }
    torch.set_num_threads(max(1, usable_cores() // world))
    first = index == 0
    fitted = train(job, (lambda epoch, row: tell.send((epoch, row))) if first else None, Rank(index, world))
    if first:
        fitted.save(job.workdir / _RESULT)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
