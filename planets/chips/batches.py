"""Chips decoded in blocks, by threads, while earlier blocks are scored."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from planets.chips import ArchiveError
from planets.chips.jpeg import decode, resize
from planets.system import thread_count


class Block(NamedTuple):
    """Consecutive chips.

    Attributes:
        length: number of chips; the arrays of the last block may have more rows, filled with zeros.
        chips: by size, uint8 of shape `(N, size, size, 3)`; zeros for a chip that cannot be read.
        faults: by row, why a chip cannot be read.
    """

    length: int
    chips: dict[int, NDArray[np.uint8]]
    faults: dict[int, str]


T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield `items`, none of them None, while a thread prepares up to `depth` of the next ones."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        pending = deque(thread.submit(next, iterator, None) for _ in range(depth))
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, iterator, None))
            yield item


def blocks(images: Sequence[bytes | Path], sizes: Sequence[int], length: int) -> Iterator[Block]:
    """Yield JPEG files, given by path or by content, as blocks of `length`.

    All blocks have one shape, so that a chip's scores do not depend on its position. Each chip is scaled to
    every one of `sizes` as soon as it is decoded, because the original may be many times larger.
    """
    yield from ahead(_read(images, sizes, min(length, len(images))))


def _read(images: Sequence[bytes | Path], sizes: Sequence[int], length: int) -> Iterator[Block]:
    with ThreadPoolExecutor(thread_count(), thread_name_prefix="decode") as threads:
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
    """Return a chip at each size, or the reason why it cannot be read."""
    try:
        chip = decode(image if isinstance(image, bytes) else image.read_bytes())
    except ArchiveError as error:
        return str(error)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return [resize(chip, size) for size in sizes]
