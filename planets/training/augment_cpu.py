"""Augmentation on the CPU: one pass over each chip gathers, crops, turns, varies and normalizes it.

Compiled by numba, it runs in threads without the GIL. `augment.augment` is the same in torch, for GPUs; a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from math import cos, floor, sin
from typing import TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from planets.chips import Channels
from planets.system import thread_count
from planets.training.augment import Changes, affine

_CHUNK = 16
"""Chips per task of a thread: small, so that a delayed thread delays few."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function by numba, when it is first called."""
    return cast(Function, numba.njit(cache=True, nogil=True, boundscheck=False)(function))


def augment_fused(
    pixels: Pixels,
    rows: NDArray[np.int64],
    changes: Changes,
    size: int,
    mean: Channels,
    std: Channels,
    alone: bool = False,
    out: Floats | None = None,
) -> Tensor:
    """Return augmented, normalized images of `rows` of `pixels`.

    Args:
        pixels: uint8 of shape `(M, S, S, 3)`, such as a store's; only `rows` are read.
        rows: int64 of shape `(N,)`.
        changes: one element per row.
        size: pixels per side of the images.
        mean: of each channel.
        std: of each channel.
        alone: stay in the calling thread; the result is the same.
        out: memory for the images, `(N or more, size, size, 3)`. New memory, the default, costs a third of
            the time, as its pages are touched for the first time.

    Returns:
        float32 of shape `(N, 3, size, size)` in channels-last memory.
    """
    images = np.empty((len(rows), size, size, 3), dtype=np.float32) if out is None else out[: len(rows)]
    turns, contrast, brightness, *window = (change.numpy() for change in changes)
    scale, shift = (factor * contrast[:, None] for factor in affine(mean, std))
    offsets = shift + brightness[:, None]
    work = (np.asarray(pixels), rows, turns, np.stack(window, axis=1), scale, offsets, images)
    if alone or len(rows) <= _CHUNK:
        _fill(*work, 0, len(rows))
    else:
        cuts = [*range(0, len(rows), _CHUNK), len(rows)]
        for done in [_pool().submit(_fill, *work, *part) for part in pairwise(cuts)]:
            done.result()
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="augment")


@compiled
def _fill(
    pixels: Pixels,
    rows: NDArray[np.int64],
    turns: NDArray[np.int64],
    windows: Floats,
    factors: Floats,
    offsets: Floats,
    images: Floats,
    start: int,
    stop: int,
) -> None:
    """Fill `images[start:stop]` from windows (top, left, side, angle), each in the cheapest way."""
    for at in range(start, stop):
        chip, image, window = pixels[rows[at]], images[at], windows[at]
        top, left, side, angle = window
        if angle != 0:
            _rotate(chip, image, turns[at], window, factors[at], offsets[at])
        elif side != image.shape[0] or top % 1 != 0 or left % 1 != 0:
            _scale(chip, image, turns[at], window, factors[at], offsets[at])
        else:
            _copy(chip, image, turns[at], window, factors[at], offsets[at])


@compiled
def _copy(
    chip: Pixels, image: Floats, element: int, window: Floats, factors: Floats, offsets: Floats
) -> None:
    """Copy a window on the pixel grid line by line: a turn is a walk through the chip with other strides.

    A line is gathered as bytes, unless it lies in the chip as it is, and then varied: the one is bound to go
    pixel by pixel, the other uses the vector units. Rows and their pixels are read in the same direction, in
    which the processor fetches memory ahead.
    """
    size, width = image.shape[0], chip.shape[1]
    flat, lines = chip.reshape(-1), image.reshape(size, 3 * size)
    row, column = (3, 3 * width) if element & 4 else (3 * width, 3)
    begin = 3 * (width * int(window[0]) + int(window[1]))
    last = size - 1
    upwards, mirrored = element & 2 != 0, element & 1 != 0
    if upwards:
        begin, row, column = begin + last * (row + column), -row, -column
    line = np.empty(3 * size, dtype=np.uint8)
    factor, offset = _repeated(factors, size), _repeated(offsets, size)
    for y in range(size):
        at = begin + y * row
        if element & 4 or mirrored:
            _gather(flat, at, column, line, mirrored != upwards)
            _vary(line, factor, offset, lines[y])
        else:
            start = at + last * column if upwards else at
            _vary(flat[start : start + 3 * size], factor, offset, lines[y])


@compiled
def _repeated(values: Floats, size: int) -> Floats:
    """Return the values of three channels for each pixel of a line."""
    line = np.empty(3 * size, dtype=np.float32)
    for index in range(3 * size):
        line[index] = values[index % 3]
    return line


@compiled
def _gather(flat: Pixels, begin: int, stride: int, line: Pixels, backwards: bool) -> None:
    """Fill a line with pixels that are `stride` bytes apart, the first of them last if `backwards`."""
    # Unsigned, as numba looks whether a signed index is negative.
    one, two = np.uint64(1), np.uint64(2)
    at, step = np.uint64(begin), np.uint64(stride)
    to, next_to = np.uint64(len(line) - 3 if backwards else 0), np.uint64(-3 if backwards else 3)
    for _ in range(len(line) // 3):
        line[to], line[to + one], line[to + two] = flat[at], flat[at + one], flat[at + two]
        at += step
        to += next_to


@compiled
def _vary(line: Pixels, factors: Floats, offsets: Floats, image: Floats) -> None:
    """Turn the bytes of a line into its varied and normalized values."""
    for index in range(len(line)):
        image[index] = line[index] * factors[index] + offsets[index]


@compiled
def _scale(
    chip: Pixels, image: Floats, element: int, window: Floats, factors: Floats, offsets: Floats
) -> None:
    """Scale a window, bilinear: a row or column of the image shares one coordinate in the chip."""
    size, width = image.shape[0], chip.shape[1]
    top, left, side, _ = window
    rows, columns = _places(top, side, size, width), _places(left, side, size, width)
    for y in range(size):
        for x in range(size):
            v, u = _turn(y, x, size, element)
            _blend(chip, image[y, x], rows[v], columns[u], factors, offsets)


@compiled
def _places(begin: float, side: float, size: int, width: int) -> NDArray[np.float64]:
    """Return the coordinates in a chip of an image's pixels, along one axis."""
    places = np.empty(size)
    for index in range(size):
        places[index] = _mirrored(begin + (index + 0.5) * side / size - 0.5, width)
    return places


@compiled
def _rotate(
    chip: Pixels, image: Floats, element: int, window: Floats, factors: Floats, offsets: Floats
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


@compiled
def _turn(y: int, x: int, size: int, element: int) -> tuple[int, int]:
    """Return the pixel of the window that becomes a pixel of the image."""
    v = size - 1 - y if element & 2 else y
    u = size - 1 - x if element & 1 else x
    return (u, v) if element & 4 else (v, u)


@compiled
def _blend(chip: Pixels, pixel: Floats, y: float, x: float, factors: Floats, offsets: Floats) -> None:
    """Set a pixel of the image to the bilinear mix of four of the chip."""
    i, k = int(y), int(x)
    j, m = min(i + 1, chip.shape[0] - 1), min(k + 1, chip.shape[1] - 1)
    wy, wx = y - i, x - k
    for channel in range(3):
        above = chip[i, k, channel] + (float(chip[i, m, channel]) - chip[i, k, channel]) * wx
        below = chip[j, k, channel] + (float(chip[j, m, channel]) - chip[j, k, channel]) * wx
        pixel[channel] = (above + (below - above) * wy) * factors[channel] + offsets[channel]


@compiled
def _mirrored(place: float, width: int) -> float:
    """Map a coordinate to 0 to `width - 1` by mirroring; the edge pixels count twice."""
    if 0 <= place <= width - 1:
        return place
    period = 2.0 * width
    place = place + 0.5 - floor((place + 0.5) / period) * period
    place = min(place, period - place) - 0.5
    return min(max(place, 0.0), width - 1.0)
