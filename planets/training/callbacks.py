"""Lightning callbacks of a training: seeding, freezing, averaging, best weights, history, console lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, ProgressBar, WeightAveraging
from torch import Tensor
from torch.optim import Optimizer

from planets.config.training import TrainingSettings
from planets.system import ProgressLines, chip_count, clock
from planets.training.model import head_keys
from planets.training.module import ChipClassifier


class EpochSeed(Callback):
    """Seeds torch for every epoch, so that a resumed training draws what an uninterrupted one would.

    Each rank gets a seed of its own: with equal ones, dropout and stochastic depth would repeat themselves
    on every rank. Weights are initialized before, from the same seed on all.
    """

    def __init__(self, seed: int) -> None:
        """Derive the epochs' seeds from `seed`."""
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch."""
        # The CPU's generator uses 32 bits of a seed: an odd factor keeps the ranks apart in these.
        rank = trainer.global_rank * 2_654_435_761
        torch.manual_seed(self._seed * 100_003 + trainer.current_epoch + rank)


class HeadFirst(BaseFinetuning):
    """Trains only the head in the first epochs; the body keeps its weights and its batch statistics."""

    def __init__(self, epochs: int) -> None:
        """Unfreeze the body after `epochs` epochs."""
        super().__init__()
        self._epochs = epochs

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Leave everything trainable until the optimizer exists.

        Lightning would add the body's parameters later, as groups that know neither the schedule nor the
        decay of weights and layers.
        """

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Freeze or unfreeze the body at the start of an epoch."""
        assert isinstance(pl_module, ChipClassifier)
        network, frozen = pl_module.network, epoch < self._epochs
        network.train(not frozen)
        if not frozen:
            self.make_trainable(network)
            return
        self.freeze(network, train_bn=False)
        head = head_keys(network)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in head)


class WarmupAverage(WeightAveraging):
    """Exponential moving average of the weights, with timm's warmup of the decay.

    EMAWeightAveraging has one decay from the first step on: with the usual 0.999, a training of a few
    hundred steps would be judged by its initial weights.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        """Average with up to `decay`, on `device`, where the network will be."""
        self._decay = decay
        averaging: Callable[..., None] = self._blend
        super().__init__(device=device, multi_avg_fn=averaging)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the network."""
        super().setup(trainer, pl_module, stage)
        assert self._average_model is not None
        # torch asks for this count before each update, and a GPU would have to wait for the answer.
        self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    def _blend(self, averages: list[Tensor], current: list[Tensor], _: Tensor) -> None:
        """Move averages towards current values, by tensors of one dtype.

        The decay after n updates is `1 - (n + 1)^(-2/3)`, as in timm's ModelEmaV3, until it reaches its
        final value.
        """
        assert self._average_model is not None
        updates = int(self._average_model.n_averaged)
        decay = min(1 - (1 + updates) ** -(2 / 3), self._decay)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, weight=1 - decay)
        else:  # counters of batches
            torch._foreach_copy_(averages, current)


class BestWeights(Callback):
    """Keeps the weights of the best epoch, in memory and in the checkpoint.

    ModelCheckpoint keeps its best in a second file and forgets which it was when a training resumes in
    another folder; here one file is enough to resume on another host.

    Place it before a WeightAveraging: during validation the module holds the averaged weights, which are
    the ones to keep.

    Attributes:
        weights: state of the network, on the CPU.
        epoch: the best one, from 1; 0 before the first.
        score: its value of the monitored metric.
    """

    def __init__(self, metric: str) -> None:
        """Judge epochs by `valid_<metric>`; the least `loss` is the best, the greatest of anything else."""
        self.weights: dict[str, Tensor] = {}
        self.epoch = 0
        self.score = 0.0
        self.monitor = f"valid_{metric}"
        self.mode = "min" if metric == "loss" else "max"

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the weights if the epoch is better than all before."""
        assert isinstance(pl_module, ChipClassifier)
        score = float(trainer.callback_metrics[self.monitor])
        better = score < self.score if self.mode == "min" else score > self.score
        if self.epoch and not better:
            return
        self.epoch, self.score = trainer.current_epoch + 1, score
        state = pl_module.network.state_dict()
        self.weights = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"weights": self.weights, "epoch": self.epoch, "score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what a checkpoint kept."""
        self.weights, self.epoch = state_dict["weights"], state_dict["epoch"]
        self.score = state_dict["score"]


class History(Callback):
    """Collects a row of numbers per epoch and sends it to the logger; `TrainedModel` names the columns.

    Attributes:
        rows: one for each epoch so far, those before a resume included.
        chips: of an epoch.
    """

    def __init__(self, chips: int) -> None:
        """Count `chips` per epoch."""
        self.rows: list[dict[str, float]] = []
        self.chips = chips
        self._started = self._trained = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the end of training and the start of validation."""
        self._trained = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row and log it, with the epoch as its step."""
        assert isinstance(pl_module, ChipClassifier)
        epoch = trainer.current_epoch + 1
        row = {
            "epoch": float(epoch),
            **{key: float(value) for key, value in sorted(trainer.callback_metrics.items())},
            "lr": pl_module.last_learning_rate,
            "chips_per_second": self.chips / max(1e-9, self._trained - self._started),
            "seconds": time.monotonic() - self._started,
            **_gpu_memory(),
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(row, step=epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what a checkpoint kept."""
        self.rows = list(state_dict["rows"])


class EpochLines(ProgressBar):
    """Prints a plain line per epoch, and the progress of a long one, for logs and terminals alike."""

    def __init__(self, name: str, settings: TrainingSettings, history: History, best: BestWeights) -> None:
        """Begin each line with `name`; the numbers come from the callbacks before this one."""
        super().__init__()
        self._lines: ProgressLines | None = None
        self._name = name
        self._epochs = settings.epochs
        self._history = history
        self._best = best
        self._enabled = True

    def disable(self) -> None:
        """Print nothing; Lightning calls this on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Print again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Announce a resumed training."""
        if self._history.rows:
            self._print(f"{self._name}  resuming after epoch {len(self._history.rows)}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch's progress."""
        title = f"{self._name}  epoch {trainer.current_epoch + 1}/{self._epochs}"
        self._lines = ProgressLines(title, self._history.chips, self._print, chip_count)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print the progress of a long epoch; its end has a line of its own."""
        done = self._history.chips * (batch_idx + 1) // int(trainer.num_training_batches)
        if self._lines and done < self._history.chips:
            self._lines(done)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch."""
        row = self._history.rows[-1]
        epoch = int(row["epoch"])
        self._print(
            f"{self._name}  epoch {epoch:>{len(str(self._epochs))}}/{self._epochs}  "
            f"loss {row['train_loss']:.4f}  valid {row['valid_loss']:.4f}  "
            f"F2@0.2 {row['valid_f2_at_0.2']:.4f}  mAP {row['valid_map']:.4f}  lr {row['lr']:.1e}  "
            f"{row['chips_per_second']:.0f} chips/s  {clock((self._epochs - epoch) * row['seconds'])} left"
            f"{'  best' if epoch == self._best.epoch else ''}"
        )

    def _print(self, line: str) -> None:
        if self._enabled:
            print(line, flush=True)


def _gpu_memory() -> dict[str, float]:
    """Return the peak memory of tensors on the GPU, in GB."""
    if not torch.cuda.is_available():
        return {}
    return {"gpu_memory_gb": torch.cuda.max_memory_allocated() / 1e9}
