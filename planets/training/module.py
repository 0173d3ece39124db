"""The LightningModule: training step, validation scores, optimizer and schedule."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MultilabelAveragePrecision
from torchmetrics.utilities import dim_zero_cat

from planets.config.training import TrainingSettings
from planets.metrics.f2 import FIXED_CUT
from planets.training import TrainingError
from planets.training.optim import learning_rate_factor, make_optimizer, training_loss

_CHECK_EVERY = 50
"""Steps between two checks of the training loss: each check makes a GPU wait."""


class SampleF2(Metric):
    """The dataset's score: F2 of each chip at one threshold for all labels, mean over all chips.

    torchmetrics has no `average="samples"`, and its equivalent, MultilabelFBetaScore over `(N, L, 1)` with
    `multidim_average="samplewise"`, fails on a batch of one chip (1.9.0). Chips without any label cannot
    occur: the label table refuses them.
    """

    total: Tensor
    chips: Tensor

    def __init__(self, threshold: float) -> None:
        """Score labels as predicted from `threshold` on."""
        super().__init__()
        self.threshold = threshold
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("chips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, targets: Tensor) -> None:
        """Add a batch: probabilities `(N, L)` and 0/1 targets `(N, L)`."""
        predictions = probabilities >= self.threshold
        hits = (predictions & (targets == 1)).sum(1, dtype=torch.float64)
        self.total += (5 * hits / (4 * targets.sum(1) + predictions.sum(1))).sum()
        self.chips += len(targets)

    def compute(self) -> Tensor:
        """Return the mean over the chips of all ranks."""
        return (self.total / self.chips).float()


class MeanAveragePrecision(MultilabelAveragePrecision):
    """Mean of the labels' average precision, over the labels that some chip carries; 0 without any.

    The macro average of torchmetrics would count an absent label as 0.
    """

    def __init__(self, num_labels: int) -> None:
        """Keep all scores: exact, not binned."""
        super().__init__(num_labels=num_labels, average="none", validate_args=False)

    def compute(self) -> Tensor:  # type: ignore[override]
        """Return the mean over the labels."""
        present = (dim_zero_cat(self.target) == 1).any(0)
        per_label = super().compute()
        return per_label[present].mean() if present.any() else per_label.new_zeros(())


class ChipClassifier(LightningModule):
    """A network in training.

    Each epoch it logs `train_loss` (mean over the steps) and, over the whole validation split, `valid_loss`,
    `valid_f2_at_0.2` and `valid_map`. `History` gathers them into one row, so no logger gets them from here.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainingSettings,
        total_steps: int,
        num_labels: int,
        architecture: str = "",
    ) -> None:
        """Wrap a network that returns logits `(N, num_labels)`.

        Args:
            network: to be trained.
            settings: of the training.
            total_steps: optimizer steps that the learning rate schedule spans.
            num_labels: L.
            architecture: timm's name of the network, kept in checkpoints to recognize them.
        """
        super().__init__()
        self.save_hyperparameters({"architecture": architecture, **settings.model_dump()}, logger=False)
        self.network = network
        self.settings = settings
        self.total_steps = total_steps
        # Module names cannot contain dots, so the keys are not the names that are logged. No compute groups:
        # the two share no state, and looking for one costs an extra pass.
        self.scores = MetricCollection(
            {"f2": SampleF2(FIXED_CUT), "map": MeanAveragePrecision(num_labels)},
            compute_groups=False,
        )
        if settings.compile:
            network.compile()

    @property
    def last_learning_rate(self) -> float:
        """Learning rate of the last step, before layer-wise decay.

        LearningRateMonitor logs a series per parameter group instead, at the start of an epoch.
        """
        step = max(0, self.global_step - 1)
        factor = learning_rate_factor(step, self.total_steps, self.settings.warmup)
        return self.settings.learning_rate * factor

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, targets = batch
        loss = training_loss(self.network(images), targets, self.settings)
        if batch_idx % _CHECK_EVERY == 0:
            self._require_finite("training loss", loss)
        self.log(
            "train_loss",
            loss.detach(),
            on_step=False,
            on_epoch=True,
            batch_size=len(targets),
            sync_dist=True,
            logger=False,
        )
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add a batch to the epoch's scores; torchmetrics computes them once, over all ranks."""
        images, targets = batch
        if len(targets):  # the last batch may be smaller than the number of ranks
            # Not compiled: the last batch has another shape, and compiling for it takes longer than it saves.
            logits = self.network.forward(images).float()
            loss = binary_cross_entropy_with_logits(logits, targets)
            self.scores.update(logits.sigmoid(), targets.long())
            self.log("valid_loss", loss, batch_size=len(targets), sync_dist=True, logger=False)
        self.log(f"valid_f2_at_{FIXED_CUT}", self.scores["f2"], batch_size=len(targets), logger=False)
        self.log("valid_map", self.scores["map"], batch_size=len(targets), logger=False)

    def on_validation_epoch_end(self) -> None:
        """Check that the network still computes numbers."""
        self._require_finite("validation loss", self.trainer.callback_metrics["valid_loss"])

    def configure_optimizers(self) -> Any:
        """Return the optimizer and the schedule, which moves with every step."""
        optimizer = make_optimizer(self.network, self.settings)
        scheduler = LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.total_steps, self.settings.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _require_finite(self, name: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the {name} is {loss.item()} in epoch {self.current_epoch + 1}; lower "
                f"training.learning_rate ({self.settings.learning_rate}), or set training.gradient_clip"
            )
