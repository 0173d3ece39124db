"""The training of a network, as Lightning runs it: loss, optimiser, schedule, averaging, validation."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.lr_scheduler import LambdaLR

from planets.config.training import TrainingSettings
from planets.metrics.f2 import FIXED_CUT, f2_score, mean_average_precision
from planets.training import TrainingError
from planets.training.losses import training_loss
from planets.training.model import head_keys
from planets.training.optimizers import require_optimizer

_CHECK_EVERY = 50
"""Steps between looks at the loss: each look makes a GPU wait."""


class ChipClassifier(LightningModule):
    """A network and how it learns.

    It logs `train_loss` (mean over the steps) and, over the whole valid part at once, `valid_loss`,
    `valid_f2_at_0.2` and `valid_map`, each once an epoch.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings, total_steps: int) -> None:
        """Take a network that gives logits `(N, L)`, and the number of steps that the schedule spans."""
        super().__init__()
        self.network = network
        self.settings = settings
        self.total_steps = total_steps
        average = ModelEmaV3(network, settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        # In a tuple, so that it is no submodule: it is neither trained nor counted nor set to training mode.
        self._average = (average,)
        self._averaged = 0
        self._forward = (torch.compile(network) if settings.compile else network,)
        self._valid: list[tuple[Tensor, Tensor]] = []

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, if there is one."""
        (average,) = self._average
        return average.module if average else self.network

    @property
    def last_learning_rate(self) -> float:
        """The learning rate of the last step."""
        step = max(0, self.global_step - 1)
        factor = learning_rate_factor(step, self.total_steps, self.settings.warmup)
        return self.settings.learning_rate * factor

    def on_fit_start(self) -> None:
        """Bring the averaged weights to where the network is."""
        self.judged.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Let only the head learn in the first `freeze_epochs`: the body, with its statistics, stays."""
        if not self.settings.freeze_epochs:
            return
        frozen = self.current_epoch < self.settings.freeze_epochs
        head = head_keys(self.network)
        self.network.train(not frozen)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not frozen or name in head)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        images, targets = batch
        (forward,) = self._forward
        loss = training_loss(forward(images), targets, self.settings)
        if batch_idx % _CHECK_EVERY == 0:
            self._require_finite("training loss", loss)
        size = len(targets)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the averaged weights on, if the weights have moved."""
        (average,) = self._average
        if average and self.global_step != self._averaged:
            average.update(self.network, step=self.global_step)
            self._averaged = self.global_step

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._valid.clear()
        self.judged.eval()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Keep the logits of a batch until all are there: a mean of batch scores is not the score."""
        images, targets = batch
        self._valid.append((self.judged(images).float().cpu(), targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Score the valid part."""
        logits, targets = (torch.cat(parts) for parts in zip(*self._everybodys(), strict=True))
        loss = binary_cross_entropy_with_logits(logits, targets)
        self._require_finite("validation loss", loss)
        scores = logits.sigmoid().numpy()
        self.log("valid_loss", loss)
        self.log(f"valid_f2_at_{FIXED_CUT}", f2_score(targets.numpy(), scores >= FIXED_CUT))
        self.log("valid_map", mean_average_precision(targets.numpy(), scores))

    def _everybodys(self) -> list[tuple[Tensor, Tensor]]:
        """Return what all processes kept: each has seen its share of the valid part."""
        if not dist.is_initialized():
            return self._valid
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, self._valid)
        return [pair for part in parts for pair in part]

    def configure_optimizers(self) -> Any:
        """Return timm's optimiser, without decay of norms and biases, and the schedule.

        Layer-wise decay of the learning rate is that of Bao et al., BEiT, ICLR 2022.
        """
        settings = self.settings
        require_optimizer(settings.optimizer)
        optimizer = create_optimizer_v2(
            self.network,
            opt=settings.optimizer,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay if settings.layer_decay < 1 else None,
        )
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
        scheduler = LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.total_steps, settings.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the averaged weights."""
        (average,) = self._average
        if average:
            checkpoint["average"] = average.module.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the averaged weights back."""
        (average,) = self._average
        if average:
            average.module.load_state_dict(checkpoint["average"])
            self._averaged = checkpoint["global_step"]

    def _require_finite(self, what: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the {what} is {loss.item()} in epoch {self.current_epoch + 1}; lower "
                f"training.learning_rate ({self.settings.learning_rate}), or set training.gradient_clip"
            )


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Return the share of the learning rate at a step (from 0 on): a line up, then half a cosine down to 0.

    The cosine is that of Loshchilov and Hutter, SGDR, ICLR 2017, without restarts.
    """
    rising = int(total * warmup)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
