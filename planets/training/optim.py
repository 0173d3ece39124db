"""Losses, timm's optimizers, and the learning rate schedule."""

from __future__ import annotations

import difflib
import math

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from torch.optim import Optimizer

from planets.config import ConfigError
from planets.config.training import TrainingSettings

_EASY_NEGATIVES = 4.0
_MARGIN = 0.05


def training_loss(logits: Tensor, targets: Tensor, settings: TrainingSettings) -> Tensor:
    """Return the configured loss against smoothed targets, mean over chips and labels.

    Args:
        logits: `(N, L)`.
        targets: `(N, L)`, 0 to 1; mixed chips have fractions.
        settings: choose the loss and the smoothing.
    """
    smoothed = targets * (1 - settings.label_smoothing) + settings.label_smoothing / 2
    if settings.loss == "asymmetric":
        return asymmetric_loss(logits, smoothed)
    return binary_cross_entropy_with_logits(logits, smoothed)


def asymmetric_loss(
    logits: Tensor, targets: Tensor, focus: float = _EASY_NEGATIVES, margin: float = _MARGIN
) -> Tensor:
    """Return a cross-entropy that plays down easy negatives, mean over all elements.

    Source: Ridnik et al., Asymmetric Loss for Multi-Label Classification, ICCV 2021, equations 4 to 7. As
    its authors advise, positives are not focused. The mean replaces their sum, so that learning rates carry
    over from plain cross-entropy.

    Args:
        logits: `(N, L)`.
        targets: `(N, L)`, 0 to 1.
        focus: exponent on the probability of negatives.
        margin: probability below which a negative has no loss.
    """
    # In half precision, 1 - p of a confident negative rounds to 1.
    logits = logits.float()
    shifted = (logits.sigmoid() - margin).clamp(min=0)
    positives = targets * logsigmoid(logits)
    negatives = (1 - targets) * torch.log1p(-shifted.clamp(max=1 - 1e-6)) * shifted.detach() ** focus
    return -(positives + negatives).mean()


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> Optimizer:
    """Return timm's optimizer for a network; norms and biases have no weight decay.

    The layer-wise decay of the learning rate follows Bao et al., BEiT, ICLR 2022.

    Raises:
        ConfigError: timm has no such optimizer.
    """
    require_optimizer(settings.optimizer)
    optimizer: Optimizer = create_optimizer_v2(
        network,
        opt=settings.optimizer,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay if settings.layer_decay < 1 else None,
    )
    for group in optimizer.param_groups:
        # timm leaves this factor to its own schedulers; torch's do not know it.
        group["lr"] *= group.get("lr_scale", 1.0)
    return optimizer


def require_optimizer(name: str) -> None:
    """Check that timm knows an optimizer.

    Raises:
        ConfigError: it does not; the message suggests similar names.
    """
    known = list_optimizers()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        raise ConfigError(
            f"training.optimizer: timm has no optimizer {name!r}; similar names: {', '.join(close or known)}"
        )


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Return the factor on the learning rate at a step (from 0): linear warmup, then half a cosine to 0.

    The cosine is that of Loshchilov and Hutter, SGDR, ICLR 2017, without restarts.
    """
    rising = int(total * warmup)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
