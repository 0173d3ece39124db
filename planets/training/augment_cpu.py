"""Augmentation on the CPU: one pass over each chip gathers, crops, turns, varies and normalizes it.

Compiled by numba, it runs in threads without the GIL. `augment.augment` is the same in torch, for GPUs; a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from math import cos, floor, sin
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from planets.system import usable_cores
from planets.training.augment import Changes, affine

_CHUNK = 16
"""Chips per task of a thread: small, so that a delayed thread delays few."""


def augment_fused(
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    changes: Changes,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    alone: bool = False,
    out: NDArray[np.float32] | None = None,
) -> Tensor:
    """Return augmented, normalized images of `rows` of `pixels`.

    Args:
        pixels: uint8 of shape `(M, S, S, 3)`, such as a store's; only `rows` are read.
        rows: int64 of shape `(N,)`.
        changes: one element per row.
        size: pixels per side of the images.
        mean: of each channel, on a scale of 0 to 1.
        std: of each channel, on the same scale.
        alone: stay in the calling thread; the result is the same.
        out: memory for the images, `(N or more, size, size, 3)`. New memory, the default, costs a third of
            the time, as its pages are touched for the first time.

    Returns:
        float32 of shape `(N, 3, size, size)` in channels-last memory.
    """
    images = np.empty((len(rows), size, size, 3), dtype=np.float32) if out is None else out[: len(rows)]
    turns, contrast, brightness, *window = (change.numpy() for change in changes)
    windows = np.stack(window, axis=1)
    fill = _copy_chips if _is_copy(windows, size) else _sample_chips
    scale, shift = (factor * contrast[:, None] for factor in affine(mean, std))
    arguments: tuple[Any, ...] = (
        np.asarray(pixels),
        rows,
        turns,
        windows,
        scale,
        shift + brightness[:, None],
        images,
    )
    if alone or len(rows) <= _CHUNK:
        fill(*arguments, 0, len(rows))
    else:
        cuts = [*range(0, len(rows), _CHUNK), len(rows)]
        for done in [_pool().submit(fill, *arguments, *part) for part in pairwise(cuts)]:
            done.result()
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _is_copy(windows: NDArray[np.float32], size: int) -> bool:
    """Return True if no pixel needs interpolation: no window is rotated, scaled or off the pixel grid."""
    top_left, side, angle = windows[:, :2], windows[:, 2], windows[:, 3]
    return not ((side != size).any() or angle.any() or (top_left % 1).any())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="augment")


def _fill_by_copies(
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    turns: NDArray[np.int64],
    windows: NDArray[np.float32],
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
    images: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Fill `images[start:stop]` from windows (top, left, side, angle) on the pixel grid."""
    for at in range(start, stop):
        _copy(pixels[rows[at]], images[at], turns[at], windows[at], factors[at], offsets[at])


def _fill_by_samples(
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    turns: NDArray[np.int64],
    windows: NDArray[np.float32],
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
    images: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Fill `images[start:stop]` from any windows."""
    for at in range(start, stop):
        chip, image, window = pixels[rows[at]], images[at], windows[at]
        if window[3] == 0:
            _scale(chip, image, turns[at], window, factors[at], offsets[at])
        else:
            _rotate(chip, image, turns[at], window, factors[at], offsets[at])


def _copy_pixels(
    chip: NDArray[np.uint8],
    image: NDArray[np.float32],
    element: int,
    window: NDArray[np.float32],
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> None:
    """Copy a window pixel by pixel: a turn is a walk through the chip with other strides."""
    size, width = image.shape[0], chip.shape[1]
    flat = chip.reshape(-1)
    row, column = (3, 3 * width) if element & 4 else (3 * width, 3)
    begin = 3 * (width * int(window[0]) + int(window[1]))
    if element & 2:
        begin, row = begin + row * (size - 1), -row
    if element & 1:
        begin, column = begin + column * (size - 1), -column
    f0, f1, f2 = factors[0], factors[1], factors[2]
    o0, o1, o2 = offsets[0], offsets[1], offsets[2]
    for y in range(size):
        at = begin + y * row
        for x in range(size):
            image[y, x, 0] = flat[at] * f0 + o0
            image[y, x, 1] = flat[at + 1] * f1 + o1
            image[y, x, 2] = flat[at + 2] * f2 + o2
            at += column


def _scale_pixels(
    chip: NDArray[np.uint8],
    image: NDArray[np.float32],
    element: int,
    window: NDArray[np.float32],
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> None:
    """Scale a window, bilinear: a row or column of the image shares one coordinate in the chip."""
    size, width = image.shape[0], chip.shape[1]
    top, left, side, _ = window
    rows, columns = _places(top, side, size, width), _places(left, side, size, width)
    for y in range(size):
        for x in range(size):
            v, u = _turn(y, x, size, element)
            _blend(chip, image[y, x], rows[v], columns[u], factors, offsets)


def _axis(begin: float, side: float, size: int, width: int) -> NDArray[np.float64]:
    """Return the coordinates in a chip of an image's pixels, along one axis."""
    places = np.empty(size)
    for index in range(size):
        places[index] = _mirrored(begin + (index + 0.5) * side / size - 0.5, width)
    return places


def _rotate_pixels(
    chip: NDArray[np.uint8],
    image: NDArray[np.float32],
    element: int,
    window: NDArray[np.float32],
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> None:
    """Sample a turned window, bilinear; the chip is mirrored at its edges."""
    size, width = image.shape[0], chip.shape[1]
    top, left, side, angle = window
    step = side / size
    across, along = step * cos(angle), step * sin(angle)
    middle = (size - 1) / 2
    y0, x0 = top + side / 2 - 0.5, left + side / 2 - 0.5
    for y in range(size):
        for x in range(size):
            v, u = _turn(y, x, size, element)
            dy, dx = v - middle, u - middle
            place_y = _mirrored(y0 + across * dy + along * dx, width)
            place_x = _mirrored(x0 + across * dx - along * dy, width)
            _blend(chip, image[y, x], place_y, place_x, factors, offsets)


def _turned_place(y: int, x: int, size: int, element: int) -> tuple[int, int]:
    """Return the pixel of the window that becomes a pixel of the image."""
    v = size - 1 - y if element & 2 else y
    u = size - 1 - x if element & 1 else x
    return (u, v) if element & 4 else (v, u)


def _blend_pixel(
    chip: NDArray[np.uint8],
    pixel: NDArray[np.float32],
    y: float,
    x: float,
    factors: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> None:
    """Set a pixel of the image to the bilinear mix of four of the chip."""
    i, k = int(y), int(x)
    j, m = min(i + 1, chip.shape[0] - 1), min(k + 1, chip.shape[1] - 1)
    wy, wx = y - i, x - k
    for channel in range(3):
        above = chip[i, k, channel] + (float(chip[i, m, channel]) - chip[i, k, channel]) * wx
        below = chip[j, k, channel] + (float(chip[j, m, channel]) - chip[j, k, channel]) * wx
        pixel[channel] = (above + (below - above) * wy) * factors[channel] + offsets[channel]


def _mirror(place: float, width: int) -> float:
    """Map a coordinate to 0 to `width - 1` by mirroring; the edge pixels count twice."""
    if 0 <= place <= width - 1:
        return place
    period = 2.0 * width
    place = place + 0.5 - floor((place + 0.5) / period) * period
    place = min(place, period - place) - 0.5
    return min(max(place, 0.0), width - 1.0)


_compiled: Any = numba.njit(cache=True, nogil=True, boundscheck=False)
# Compiled here, not by decorators: the functions above stay readable to mypy and testable as plain Python.
_mirrored = _compiled(_mirror)
_places = _compiled(_axis)
_turn = _compiled(_turned_place)
_blend = _compiled(_blend_pixel)
_copy = _compiled(_copy_pixels)
_scale = _compiled(_scale_pixels)
_rotate = _compiled(_rotate_pixels)
_copy_chips = _compiled(_fill_by_copies)
_sample_chips = _compiled(_fill_by_samples)
