"""What is kept while a training runs: the history, the best weights, a checkpoint, and a line for the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from planets.config.training import ModelEntry, TrainingSettings
from planets.training import TrainingError
from planets.training.module import ChipClassifier

CHECKPOINT = "last.ckpt"

Reporter = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number, from 1 on, and its row of the history."""


class Journal(Callback):
    """Keeps a training's books, in memory and in its checkpoint, so that a resumed one has them too.

    Attributes:
        history: a row for each epoch run; `TrainedModel` says what is in it.
        weights: state of the network in the best epoch, on the CPU.
        best_epoch: that epoch, from 1 on; 0 before there is one.
    """

    def __init__(
        self,
        entry: ModelEntry,
        settings: TrainingSettings,
        chips: int,
        workdir: Path,
        reporter: Reporter | None,
    ) -> None:
        """Keep books for the training of an entry, of `chips` an epoch; the checkpoint goes to `workdir`."""
        self.entry = entry
        self.settings = settings
        self.chips = chips
        self.workdir = workdir
        self.reporter = reporter
        self.history: list[dict[str, float]] = []
        self.weights: dict[str, Tensor] = {}
        self.best_epoch = 0
        self._started = self._trained = 0.0

    def value(self, row: dict[str, float]) -> float:
        """Return what a row of the history scores in the metric that chooses, greater is better."""
        metric = self.settings.checkpoint_metric
        return -row["valid_loss"] if metric == "loss" else row[f"valid_{metric}"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and random numbers of the epoch's own: a resumed training draws the same."""
        torch.manual_seed(self.settings.seed * 100_003 + trainer.current_epoch)
        self._started = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when training gave way to validation."""
        self._trained = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Enter the epoch, keep its weights if they are the best, save a checkpoint, tell."""
        assert isinstance(pl_module, ChipClassifier)
        row = self._row(trainer, pl_module)
        if not self.history or self.value(row) > self.value(self.history[self.best_epoch - 1]):
            self.best_epoch = int(row["epoch"])
            state = pl_module.judged.state_dict()
            self.weights = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
        self.history.append(row)
        self._save(trainer)
        if not trainer.is_global_zero:
            return
        print(self._line(row), flush=True)
        if self.reporter:
            self.reporter(int(row["epoch"]), row)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this."""
        return {
            "settings": self._settings(),
            "history": self.history,
            "weights": self.weights,
            "best_epoch": self.best_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.history = list(state_dict["history"])
        self.weights = state_dict["weights"]
        self.best_epoch = state_dict["best_epoch"]

    def require_same(self, state_dict: dict[str, Any]) -> None:
        """Refuse a checkpoint of another training.

        Raises:
            TrainingError: its network or its settings are not these.
        """
        now, then = self._settings(), state_dict["settings"]
        if changed := [
            f"{key} was {then.get(key)}, is {now[key]}" for key in now if now[key] != then.get(key)
        ]:
            raise TrainingError(f"the checkpoint is of another training: {'; '.join(changed)}; start anew")

    def _settings(self) -> dict[str, Any]:
        return {"architecture": self.entry.architecture, **self.settings.model_dump()}

    def _row(self, trainer: Trainer, module: ChipClassifier) -> dict[str, float]:
        return {
            "epoch": float(trainer.current_epoch + 1),
            **{key: float(value) for key, value in sorted(trainer.callback_metrics.items())},
            "lr": module.last_learning_rate,
            "chips_per_second": self.chips / max(1e-9, self._trained - self._started),
            "seconds": time.monotonic() - self._started,
            **_gpu_memory(),
        }

    def _save(self, trainer: Trainer) -> None:
        """Write the checkpoint beside the old one, then in its place: a killed process leaves a whole one."""
        part = self.workdir / f"{CHECKPOINT}.part"
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self.workdir / CHECKPOINT)

    def _line(self, row: dict[str, float]) -> str:
        epoch, epochs = int(row["epoch"]), self.settings.epochs
        left = (epochs - epoch) * row["seconds"]
        best = "  best" if epoch == self.best_epoch else ""
        return (
            f"{self.entry.name}  epoch {epoch:>{len(str(epochs))}}/{epochs}  loss {row['train_loss']:.4f}  "
            f"valid {row['valid_loss']:.4f}  F2@0.2 {row['valid_f2_at_0.2']:.4f}  "
            f"mAP {row['valid_map']:.4f}  "
            f"lr {row['lr']:.1e}  {row['chips_per_second']:.0f} chips/s  {_clock(left)} left{best}"
        )


def _gpu_memory() -> dict[str, float]:
    """Return the most memory that tensors took on the GPU so far, in GB."""
    if not torch.cuda.is_available():
        return {}
    return {"gpu_memory_gb": torch.cuda.max_memory_allocated() / 1e9}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
