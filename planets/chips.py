"""Chips as pixels: the one decoder of training and serving, and the store of decoded chips on disk."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from planets.errors import ArchiveError

DECODER = "pillow-rgb"
"""Name of what `decode` does; a bundle stores it, and one made by another decoder is refused."""

RESIZER = "pillow-bilinear"
"""Name of what `resize` does; stored and checked like `DECODER`."""

_BATCH = 256
"""Chips that are decoded before they are written: bounds the memory, 50 MB at 256 px."""

Progress = Callable[[int, int], None]
"""Called with the number of chips done and of all."""


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG file to RGB, uint8 of shape `(height, width, 3)`.

    Grey and RGB files are taken as they are. The real chips have four components, CMYK with K = 0, which
    become `255 - CMY`, as they are meant to look; other decoders invert them or keep a fourth channel.

    Raises:
        ArchiveError: the bytes are no JPEG picture, or end too early.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError:
        what = "is not a JPEG picture" if data else "is empty"
        raise ArchiveError(f"the chip {what} ({len(data)} bytes); fetch it again") from None
    # What Pillow raises on broken pictures, by kind of damage; there is no common base.
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise ArchiveError(f"the chip cannot be decoded ({error}); fetch it again") from error


def resize(chip: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Scale a chip `(height, width, 3)` to `(size, size, 3)`, bilinear, smoothing where it shrinks."""
    if chip.shape[:2] == (size, size):
        return chip
    return np.asarray(Image.fromarray(chip).resize((size, size), Image.Resampling.BILINEAR))


@dataclass(frozen=True, eq=False)
class ChipStore:
    """All chips of a dataset, decoded and scaled once: a file mapped into memory, shared by a host's workers.

    Attributes:
        names: the chips, in the order they were given.
        pixels: read-only uint8 of shape `(len(names), size, size, 3)`, row `i` for `names[i]`.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]

    @classmethod
    def open(
        cls,
        cache: Path,
        content_hash: str,
        size: int,
        files: Sequence[tuple[str, Path]],
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> ChipStore:
        """Open the store of `files` in `cache`, building it first if nobody has.

        Args:
            cache: a folder of this host; stores of other datasets and sizes lie beside each other there.
            content_hash: the dataset's; a store is found by it, so the files of a known dataset are not read.
            size: pixels a side.
            files: `(name, path)` of every chip; the store has their order, another order is another store.
            threads: how many decode at once; None: one per usable core.
            progress: called after every few hundred chips while the store is built.

        Raises:
            ArchiveError: a chip is missing or broken, two have one name, or the disk is too small.
        """
        folder = cache / _key(content_hash, size, [name for name, _ in files])
        cache.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            with FileLock(folder.with_suffix(".lock")):
                if not folder.exists():
                    _build(folder, size, files, threads or _cores(), progress)
        names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
        return cls(names, np.load(folder / "pixels.npy", mmap_mode="r"))

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.pixels.shape[1])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def index(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return the rows of `names` in `pixels`, int64, in the order given.

        Raises:
            ArchiveError: the store has no chip of such a name.
        """
        asked = list(names)
        unknown = [name for name in asked if name not in self._rows]
        if unknown:
            raise ArchiveError(f"{len(unknown)} chips are not in the store, such as {unknown[0]!r}")
        return np.array([self._rows[name] for name in asked], dtype=np.int64)


def _key(content_hash: str, size: int, names: Sequence[str]) -> str:
    """Name a store by all that it depends on: the dataset, the chips taken from it, how they are read."""
    twice = len(names) - len(set(names))
    if twice or not names:
        raise ArchiveError(
            f"{twice} chips share a name; names must be unique" if names else "no chips are given"
        )
    digest = hashlib.sha256("\0".join([content_hash, DECODER, RESIZER, *names]).encode())
    return f"chips-{digest.hexdigest()[:20]}-{size}px"


def _build(
    folder: Path, size: int, files: Sequence[tuple[str, Path]], threads: int, progress: Progress | None
) -> None:
    """Fill a folder beside `folder` and rename it; what a killed process has left there is thrown away."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    shape = (len(files), size, size, 3)
    _check_space(folder.parent, shape)
    part.mkdir()
    try:
        (part / "names.json").write_text(json.dumps([name for name, _ in files]), encoding="utf-8")
        with (part / "pixels.npy").open("wb") as out:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(out, header)
            for done, chip in enumerate(_decoded(size, files, threads), start=1):
                out.write(chip.tobytes())
                if progress and (done % _BATCH == 0 or done == len(files)):
                    progress(done, len(files))
            out.flush()
            os.fsync(out.fileno())
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _decoded(size: int, files: Sequence[tuple[str, Path]], threads: int) -> Iterator[NDArray[np.uint8]]:
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), _BATCH):
            yield from pool.map(lambda file: _read(file[0], file[1], size), files[start : start + _BATCH])


def _read(name: str, path: Path, size: int) -> NDArray[np.uint8]:
    try:
        return resize(decode(path.read_bytes()), size)
    except (ArchiveError, OSError) as error:
        raise ArchiveError(f"chip {name}, file {path}: {error}") from error


def _check_space(cache: Path, shape: tuple[int, ...]) -> None:
    needed, free = int(np.prod(shape)), shutil.disk_usage(cache).free
    if needed > free:
        raise ArchiveError(
            f"the decoded chips ({shape[0]} at {shape[1]} px) need {needed / 1e9:.1f} GB in {cache}, where "
            f"{free / 1e9:.1f} GB are free; make room, or choose a smaller training.image_size"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
