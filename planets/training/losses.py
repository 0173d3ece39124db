"""What a training makes small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from planets.config.training import TrainingSettings

_EASY_NEGATIVES = 4.0
_MARGIN = 0.05


def training_loss(logits: Tensor, targets: Tensor, settings: TrainingSettings) -> Tensor:
    """Return the loss that `settings` name: mean over chips and labels, targets smoothed.

    Args:
        logits: `(N, L)`.
        targets: `(N, L)`, 0 to 1: mixed chips have shares.
        settings: name the loss and the smoothing.
    """
    smoothed = targets * (1 - settings.label_smoothing) + settings.label_smoothing / 2
    if settings.loss == "asymmetric":
        return asymmetric_loss(logits, smoothed)
    return binary_cross_entropy_with_logits(logits, smoothed)


def asymmetric_loss(
    logits: Tensor, targets: Tensor, focus: float = _EASY_NEGATIVES, margin: float = _MARGIN
) -> Tensor:
    """Return cross-entropy in which easy negatives count little, mean over all elements.

    Source: Ridnik et al., Asymmetric Loss for Multi-Label Classification, ICCV 2021, equations 4 to 7, with
    no focus on positives, as its authors advise; the mean in place of their sum keeps learning rates alike.

    Args:
        logits: `(N, L)`.
        targets: `(N, L)`, 0 to 1.
        focus: exponent on the probability of negatives.
        margin: probability below which a negative counts nothing.
    """
    # Half precision has no room for 1 - p of a sure negative.
    logits = logits.float()
    shifted = (logits.sigmoid() - margin).clamp(min=0)
    positives = targets * logsigmoid(logits)
    negatives = (1 - targets) * torch.log1p(-shifted.clamp(max=1 - 1e-6)) * shifted.detach() ** focus
    return -(positives + negatives).mean()
