"""Mixup and cutmix: chips of a batch combined in pairs, targets in proportion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Mix(NamedTuple):
    """Parameters of mixing a batch with itself in reverse order.

    Attributes:
        share: a chip's share of its own image, 0 to 1; the partner has the rest.
        window: top, left, bottom and right of the partner's window, as shares of a side (cutmix); None
            blends the two everywhere (mixup).
    """

    share: float
    window: tuple[float, float, float, float] | None


def draw_mix(mixup: float, cutmix: float, random: np.random.Generator) -> Mix | None:
    """Draw the mixing of a batch; with both alphas above 0, mixup and cutmix are equally likely.

    Sources: Zhang et al., mixup, ICLR 2018; Yun et al., CutMix, ICCV 2019.
    """
    if not mixup and not cutmix:
        return None
    if not cutmix or (mixup and random.random() < 0.5):
        return Mix(float(random.beta(mixup, mixup)), None)
    side = np.sqrt(1 - random.beta(cutmix, cutmix))
    middle = random.uniform(0, 1, 2)
    top, left = np.clip(middle - side / 2, 0, 1)
    bottom, right = np.clip(middle + side / 2, 0, 1)
    return Mix(
        float(1 - (bottom - top) * (right - left)), (float(top), float(left), float(bottom), float(right))
    )


def mix_batch(images: Tensor, targets: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
    """Combine images `(N, 3, size, size)` and targets `(N, L)`; the inputs are not modified."""
    if mix.window is None:
        return images.lerp(images.flip(0), 1 - mix.share), targets.lerp(targets.flip(0), 1 - mix.share)
    size = images.shape[-1]
    top, left, bottom, right = (round(edge * size) for edge in mix.window)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / size**2
    return mixed, targets.lerp(targets.flip(0), 1 - share)
