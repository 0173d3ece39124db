"""Mixup and cutmix: chips of a batch combined in pairs, with targets that say how much of each is there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Mix(NamedTuple):
    """How the chips of a batch are combined, each with the one at its place from the end.

    Attributes:
        share: of a chip in its own image, 0 to 1; the partner has the rest.
        window: top, left, bottom and right of what the partner fills, as shares of a side; None: it shines
            through everywhere.
    """

    share: float
    window: tuple[float, float, float, float] | None


def draw_mix(mixup: float, cutmix: float, random: np.random.Generator) -> Mix | None:
    """Draw how a batch is mixed; with both alphas above 0 each of the two is as likely.

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
    """Combine images `(N, 3, size, size)` and targets `(N, L)`; neither is changed itself."""
    if mix.window is None:
        return images.lerp(images.flip(0), 1 - mix.share), targets.lerp(targets.flip(0), 1 - mix.share)
    size = images.shape[-1]
    top, left, bottom, right = (round(edge * size) for edge in mix.window)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / size**2
    return mixed, targets.lerp(targets.flip(0), 1 - share)
