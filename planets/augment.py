"""From uint8 chips to what a network sees: normalised, and in training turned, mirrored and varied in light.

A batch is changed as a whole, on the device it lies on. What is random is drawn beforehand as `Changes`, so
another implementation can be given the same draw and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LEVELS = 255.0


class Changes(NamedTuple):
    """How each chip of a batch is changed; every tensor has shape `(N,)`.

    Attributes:
        turns: int64, 0 to 7: an element of the dihedral group. 1 mirrors left and right, 2 mirrors up and
            down, 4 swaps rows and columns before that; 0 changes nothing.
        contrast: float32, factor on the normalised chip, about 1.
        brightness: float32, what is then added, about 0, in standard deviations.
    """

    turns: Tensor
    contrast: Tensor
    brightness: Tensor


def draw_changes(count: int, flips: bool, jitter: float, random: np.random.Generator) -> Changes:
    """Draw the changes of `count` chips: turns if `flips`, light by up to `jitter` (0 to 1) either way."""
    turns = random.integers(0, 8, count) if flips else np.zeros(count, dtype=np.int64)
    contrast, brightness = random.uniform(-jitter, jitter, (2, count)).astype(np.float32)
    return Changes(torch.from_numpy(turns), torch.from_numpy(1 + contrast), torch.from_numpy(brightness))


def turn(chips: Tensor, turns: Tensor) -> Tensor:
    """Turn and mirror square chips `(N, size, size, C)` by `turns` `(N,)`, 0 to 7; see `Changes`."""
    turned = torch.empty_like(chips)
    for element in range(8):
        rows = (turns == element).nonzero().squeeze(1)
        if len(rows):
            some = chips[rows]
            some = some.transpose(1, 2) if element & 4 else some
            axes = [axis for axis, bit in ((1, 2), (2, 1)) if element & bit]
            turned[rows] = some.flip(axes) if axes else some
    return turned


def normalise(chips: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn uint8 chips `(N, size, size, 3)` into float32 images `(N, 3, size, size)` in channels-last memory.

    Args:
        chips: 0 to 255.
        mean: of each channel, in the scale of 0 to 1.
        std: of each channel, likewise.

    Returns:
        `(chips / 255 - mean) / std`.
    """
    scale, shift = _affine(chips, mean, std)
    return chips.to(torch.float32).mul_(scale).add_(shift).permute(0, 3, 1, 2)


def denormalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> NDArray[np.uint8]:
    """Turn images back into chips that can be looked at, uint8 `(N, size, size, 3)`, cut to 0 to 255."""
    scale, shift = (torch.tensor(each, dtype=torch.float32) for each in (std, mean))
    levels = (images.detach().cpu().permute(0, 2, 3, 1) * scale + shift) * _LEVELS
    return np.asarray(levels.round().clamp(0, _LEVELS).to(torch.uint8))


def augment(chips: Tensor, changes: Changes, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return `normalise(turn(chips)) * contrast + brightness`; shapes and types as in `normalise`."""
    scale, shift = _affine(chips, mean, std)
    contrast, brightness = (each[:, None, None, None] for each in changes[1:])
    images = turn(chips, changes.turns).to(torch.float32)
    return images.mul_(scale * contrast).add_(shift * contrast + brightness).permute(0, 3, 1, 2)


def _affine(chips: Tensor, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return scale and shift, float32 of shape `(3,)`, that normalise levels of 0 to 255."""
    if chips.dtype != torch.uint8:
        raise TypeError(f"uint8 chips are needed, not {chips.dtype}; they would be normalised twice")
    mean64, std64 = (torch.tensor(each, dtype=torch.float64) for each in (mean, std))
    scale, shift = 1 / (_LEVELS * std64), -mean64 / std64
    return scale.to(chips.device, torch.float32), shift.to(chips.device, torch.float32)
