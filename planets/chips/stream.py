"""Chips that are decoded when they are asked for, where a store of all of them would not fit the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from planets.chips.jpeg import read_chip
from planets.system import usable_cores


class StreamedPixels:
    """Stands where a store has its mapped pixels: `pixels[row]`, `pixels[rows]` decode files, by threads."""

    def __init__(self, files: Sequence[tuple[str, Path]], size: int) -> None:
        """Take `(name, path)` of every chip, and pixels a side."""
        self._files = files
        self.shape = (len(files), size, size, 3)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without the threads."""
        return type(self), (self._files, self.shape[1])

    def __len__(self) -> int:
        """Chips."""
        return len(self._files)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]: ...
    def __getitem__(self, rows: int | np.integer[Any] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return one chip `(size, size, 3)`, or those of an array of rows `(N, size, size, 3)`.

        Raises:
            ArchiveError: a file is missing or broken.
        """
        if isinstance(rows, int | np.integer):
            return self._read(int(rows))
        chips = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        for place, chip in enumerate(self._threads.map(self._read, rows.tolist())):
            chips[place] = chip
        return chips

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")

    def _read(self, row: int) -> NDArray[np.uint8]:
        name, path = self._files[row]
        return read_chip(name, path, self.shape[1])


Pixels = NDArray[np.uint8] | StreamedPixels
"""What chips are taken from, by their rows."""

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield `items`, none of them None, up to `depth` of them made beforehand by a thread."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = deque(thread.submit(next, iterator, None) for _ in range(depth))
        while (item := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, iterator, None))
            yield item
