"""Augmentation in torch: uint8 chips become normalized images, cropped, turned, varied in light and mixed.

A batch is processed as a whole, on its own device. Randomness is drawn beforehand as `Changes`, so that
another implementation can be compared on the same draw: `augment_cpu.augment_fused` is the one for the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from planets.chips import Channels
from planets.config.training import TrainingSettings

_LEVELS = 255.0


class Changes(NamedTuple):
    """Augmentation parameters of each chip of a batch: tensors of shape `(N,)`, float32 except `turns`.

    Attributes:
        turns: int64, 0 to 7: an element of the dihedral group. 1 mirrors left and right, 2 mirrors up and
            down, 4 swaps rows and columns before that; 0 changes nothing.
        contrast: factor on the normalized chip, around 1.
        brightness: added after that, around 0, in standard deviations.
        top: upper edge of the window that becomes the image, in pixels of the chip.
        left: its left edge.
        side: pixels per side of the window; pixels are interpolated unless this is the image's size.
        angle: rotation of the window about its center, applied first, in radians.
    """

    turns: Tensor
    contrast: Tensor
    brightness: Tensor
    top: Tensor
    left: Tensor
    side: Tensor
    angle: Tensor


class Mix(NamedTuple):
    """Parameters of mixing a batch with itself in reverse order.

    Attributes:
        share: a chip's share of its own image, 0 to 1; the partner has the rest.
        window: top, left, bottom and right of the partner's window, as shares of a side (cutmix); None
            blends the two everywhere (mixup).
    """

    share: float
    window: tuple[float, float, float, float] | None


def cut_size(settings: TrainingSettings) -> int:
    """Return the pixels per side that `crop` leaves of a training chip."""
    return settings.image_size - 2 * round(settings.image_size * settings.crop / 2)


def train_size(settings: TrainingSettings, epoch: int) -> int:
    """Return the pixels per side of training images in an epoch, counted from 0.

    With `progressive` the sizes grow in even steps over the first two thirds of the epochs, as multiples of
    16: cheap epochs first (Howard, fast.ai on DAWNBench, 2018; Tan and Le, EfficientNetV2, ICML 2021).
    """
    last = cut_size(settings)
    share = min(1.0, 1.5 * epoch / max(1, settings.epochs - 1))
    if not settings.progressive or share == 1:
        return last
    first = settings.progressive * last
    return min(last, max(32, 16 * round((first + (last - first) * share) / 16)))


def draw_changes(count: int, settings: TrainingSettings, random: np.random.Generator) -> Changes:
    """Draw the changes of `count` training chips of `settings.image_size`."""
    turns = random.integers(0, 8, count) if settings.flips else np.zeros(count, dtype=np.int64)
    contrast, brightness = random.uniform(-settings.jitter, settings.jitter, (2, count))
    side = cut_size(settings) * (1 - random.uniform(0, settings.zoom, count))
    top, left = random.uniform(0, 1, (2, count)) * (settings.image_size - side)
    if not settings.zoom:
        top, left = top.round(), left.round()
    angle = np.radians(random.uniform(-settings.rotation, settings.rotation, count))
    drawn = (1 + contrast, brightness, top, left, side, angle)
    return Changes(
        torch.from_numpy(turns), *(torch.from_numpy(values.astype(np.float32)) for values in drawn)
    )


def no_changes(count: int, size: int) -> Changes:
    """Return changes that leave `count` chips of a size as they are."""
    zeros, ones = torch.zeros(count), torch.ones(count)
    return Changes(zeros.long(), ones, zeros, zeros, zeros, ones * size, zeros)


def normalize(chips: Tensor, mean: Channels, std: Channels) -> Tensor:
    """Turn uint8 chips `(N, size, size, 3)` into float32 images `(N, 3, size, size)` in channels-last memory.

    Args:
        chips: 0 to 255.
        mean: of each channel, on a scale of 0 to 1.
        std: of each channel, on the same scale.

    Returns:
        `(chips / 255 - mean) / std`.
    """
    _require_uint8(chips)
    scale, shift = (torch.from_numpy(factor).to(chips.device) for factor in affine(mean, std))
    return chips.to(torch.float32).mul_(scale).add_(shift).permute(0, 3, 1, 2)


def denormalize(images: Tensor, mean: Channels, std: Channels) -> NDArray[np.uint8]:
    """Turn images back into chips for viewing, uint8 `(N, size, size, 3)`, clipped to 0 to 255."""
    scale, shift = (torch.tensor(channels, dtype=torch.float32) for channels in (std, mean))
    levels = (images.detach().cpu().permute(0, 2, 3, 1) * scale + shift) * _LEVELS
    return np.asarray(levels.round().clamp(0, _LEVELS).to(torch.uint8))


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


def augment(
    store: Tensor, rows: Tensor, changes: Changes, size: int, mean: Channels, std: Channels
) -> Tensor:
    """Return augmented, normalized images of `rows` of a store: `normalize(...) * contrast + brightness`.

    Args:
        store: uint8 of shape `(M, S, S, 3)`, on the device of the result.
        rows: int64 of shape `(N,)`, on the same device.
        changes: one element per row, on the same device.
        size: pixels per side of the images.
        mean: of each channel, on a scale of 0 to 1.
        std: of each channel, on the same scale.

    Returns:
        float32 of shape `(N, 3, size, size)` in channels-last memory.
    """
    _require_uint8(store)
    y, x = _places(changes, size)
    levels = _sampled(store, rows, y, x)
    scale, shift = (torch.from_numpy(factor).to(store.device) for factor in affine(mean, std))
    contrast, brightness = (change[:, None, None, None] for change in (changes.contrast, changes.brightness))
    return levels.mul_(scale * contrast).add_(shift * contrast + brightness).permute(0, 3, 1, 2)


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


def affine(mean: Channels, std: Channels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scale and shift, float32 of shape `(3,)`, that normalize levels of 0 to 255."""
    mean64, std64 = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    return (1 / (_LEVELS * std64)).astype(np.float32), (-mean64 / std64).astype(np.float32)


def _places(changes: Changes, size: int) -> tuple[Tensor, Tensor]:
    """Return the row and column in the chip of each pixel of the images, float32 `(N, size, size)`."""
    element = changes.turns[:, None, None]
    grid = torch.arange(size, device=element.device)
    v = torch.where(element & 2 > 0, size - 1 - grid[:, None], grid[:, None]).expand(-1, size, size)
    u = torch.where(element & 1 > 0, size - 1 - grid, grid).expand(-1, size, size)
    v, u = torch.where(element & 4 > 0, u, v), torch.where(element & 4 > 0, v, u)
    top, left, side, angle = (change[:, None, None] for change in changes[3:])
    step, middle = side / size, (size - 1) / 2
    across, along = step * torch.cos(angle), step * torch.sin(angle)
    y = top + side / 2 - 0.5 + across * (v - middle) + along * (u - middle)
    x = left + side / 2 - 0.5 + across * (u - middle) - along * (v - middle)
    return y, x


def _sampled(store: Tensor, rows: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return bilinear samples of chips, float32 `(N, size, size, 3)`; edges are mirrored."""
    width = store.shape[1]
    pixels = store.reshape(-1, 3)
    y, x = _mirrored(y, width), _mirrored(x, width)
    top, left = y.floor().long(), x.floor().long()
    wy, wx = (y - top).unsqueeze(-1), (x - left).unsqueeze(-1)
    first = rows[:, None, None] * width * width

    def levels(row: Tensor, column: Tensor) -> Tensor:
        return pixels[first + row * width + column].to(torch.float32)

    below, right = (top + 1).clamp(max=width - 1), (left + 1).clamp(max=width - 1)
    upper = torch.lerp(levels(top, left), levels(top, right), wx)
    return torch.lerp(upper, torch.lerp(levels(below, left), levels(below, right), wx), wy)


def _mirrored(place: Tensor, width: int) -> Tensor:
    """Map coordinates to 0 to `width - 1`: beyond the edge a chip continues as its mirror image."""
    place = (place + 0.5).remainder(2 * width)
    return (torch.minimum(place, 2 * width - place) - 0.5).clamp(0, width - 1)


def _require_uint8(chips: Tensor) -> None:
    if chips.dtype != torch.uint8:
        raise TypeError(f"expected uint8 chips, not {chips.dtype}: these would be normalized twice")
