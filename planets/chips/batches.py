"""Pictures decoded in blocks, by threads, ahead of whoever scores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planets.chips import ArchiveError
from planets.chips.jpeg import decode, resize
from planets.chips.stream import ahead
from planets.system import usable_cores


class Block(NamedTuple):
    """Some pictures in a row.

    Attributes:
        length: how many they are; the arrays have as many rows or more, where the last block is filled up.
        chips: at each size the pictures, uint8 `(N, size, size, 3)`; zeros where there is none to be had.
        faults: for the row of each picture that cannot be read, why.
    """

    length: int
    chips: dict[int, NDArray[np.uint8]]
    faults: dict[int, str]


def blocks(images: Sequence[bytes | Path], sizes: Sequence[int], length: int) -> Iterator[Block]:
    """Yield JPEG files, given by path or by content, as blocks of `length`.

    All blocks have one shape, so that a picture's scores do not depend on its place. Each picture is scaled
    to every one of `sizes` as soon as it is decoded: as it is it may be many times larger.
    """
    yield from ahead(_read(images, sizes, min(length, len(images))))


def _read(images: Sequence[bytes | Path], sizes: Sequence[int], length: int) -> Iterator[Block]:
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode") as threads:
        for start in range(0, len(images), length or 1):
            some = images[start : start + length]
            chips = {size: np.zeros((length, size, size, 3), dtype=np.uint8) for size in sizes}
            faults = {}
            for row, read in enumerate(threads.map(lambda image: _chip(image, sizes), some)):
                if isinstance(read, str):
                    faults[row] = read
                    continue
                for size, chip in zip(sizes, read, strict=True):
                    chips[size][row] = chip
            yield Block(len(some), chips, faults)


def _chip(image: bytes | Path, sizes: Sequence[int]) -> list[NDArray[np.uint8]] | str:
    """Return a picture at each size, or why it cannot be read."""
    try:
        chip = decode(image if isinstance(image, bytes) else image.read_bytes())
    except ArchiveError as error:
        return str(error)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return [resize(chip, size) for size in sizes]
