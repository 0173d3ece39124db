"""The store of decoded chips on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from planets.chips import ArchiveError
from planets.chips.jpeg import DECODER, RESIZER, read_chip
from planets.system import DiskFull, megabytes, reports_full_disk, thread_count

_BATCH = 256
"""Chips decoded before they are written, which bounds memory: 50 MB at 256 px."""

DIGESTS = "digests.json"
"""File of a store: the code that decoded its chips, and the digest of each chip's file."""

_CODE = [DECODER, RESIZER]

Chip = NDArray[np.uint8]

Progress = Callable[[int, int], None]
"""Called with the number of finished chips and of all chips."""


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
        digests: Callable[[], Sequence[str]] | None = None,
    ) -> ChipStore:
        """Open the store of `files` in `cache`, building it first unless it exists.

        Chips that another store of this size holds already are copied from it instead of being decoded, so a
        dataset that has grown decodes its new chips only.

        Args:
            cache: a folder of this host; stores of other datasets and sizes lie beside each other there.
            content_hash: hash of the dataset, which identifies its store without reading the files.
            size: pixels a side.
            files: `(name, path)` of every chip, in the order of the store.
            threads: number of decoding threads; None for `thread_count()`.
            progress: called after every few hundred chips while the store is built.
            digests: returns the SHA-256 of each file, by which other stores are searched; None to decode
                every chip.

        Raises:
            ArchiveError: a chip is missing or broken, or two have one name.
            DiskFull: the store does not fit on the disk; the message names what may be deleted.
        """
        folder = cache / _key(content_hash, size, [name for name, _ in files])
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                _require_space(cache, len(files), size)
                with reports_full_disk(cache):
                    _build(folder, size, files, digests, threads or thread_count(), progress)
            names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
            return _mapped(names, folder / "pixels.npy")

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the name of the mapped file, not as its content."""
        pixels = self.pixels
        if isinstance(pixels, np.memmap):
            return _mapped, (self.names, pixels.filename)
        return type(self), (self.names, pixels)

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.pixels.shape[1])


def _mapped(names: tuple[str, ...], file: Path) -> ChipStore:
    return ChipStore(names, np.load(file, mmap_mode="r"))


def _key(content_hash: str, size: int, names: Sequence[str]) -> str:
    """Return a store's name, a hash of all it depends on: dataset, selected chips, decoder and resizer."""
    repeated = len(names) - len(set(names))
    if repeated or not names:
        raise ArchiveError(
            f"{repeated} chips share a name; names must be unique" if names else "no chips are given"
        )
    digest = hashlib.sha256("\0".join([content_hash, *_CODE, *names]).encode())
    return f"chips-{digest.hexdigest()[:20]}-{size}px"


def _build(
    folder: Path,
    size: int,
    files: Sequence[tuple[str, Path]],
    digests: Callable[[], Sequence[str]] | None,
    threads: int,
    progress: Progress | None,
) -> None:
    """Fill a folder beside `folder`, then rename it; leftovers of a killed process are deleted first."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    shape = (len(files), size, size, 3)
    part.mkdir()
    try:
        (part / "names.json").write_text(json.dumps([name for name, _ in files]), encoding="utf-8")
        known: list[Chip | None] = [None] * len(files)
        if digests:
            keys = list(digests())
            (part / DIGESTS).write_text(json.dumps([_CODE, keys]), encoding="utf-8")
            stored = _stored_chips(folder.parent, size)
            known = [stored.get(key) for key in keys]
        with (part / "pixels.npy").open("wb") as out:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(out, header)
            for done, chip in enumerate(_chips(size, files, known, threads), start=1):
                out.write(chip.tobytes())
                if progress and (done % _BATCH == 0 or done == len(files)):
                    progress(done, len(files))
            out.flush()
            os.fsync(out.fileno())
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _stored_chips(cache: Path, size: int) -> dict[str, Chip]:
    """Return the decoded chips of all stores of `size` in `cache`, mapped, by the digest of their file."""
    chips: dict[str, Chip] = {}
    for file in sorted(cache.glob(f"chips-*-{size}px/{DIGESTS}")):
        code, keys = json.loads(file.read_text(encoding="utf-8"))
        if code == _CODE:
            chips |= zip(keys, np.load(file.with_name("pixels.npy"), mmap_mode="r"), strict=True)
    return chips


def _chips(
    size: int, files: Sequence[tuple[str, Path]], known: Sequence[Chip | None], threads: int
) -> Iterator[Chip]:
    """Yield every chip: the known one, or the decoded file."""

    def chip(row: int) -> Chip:
        stored = known[row]
        return read_chip(*files[row], size) if stored is None else stored

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), _BATCH):
            yield from pool.map(chip, range(start, min(start + _BATCH, len(files))))


def _require_space(cache: Path, chips: int, size: int) -> None:
    """Check that a store of `chips` chips at `size` pixels fits.

    Raises:
        DiskFull: it does not; the message names what the stores in `cache` take, for they are only a cache.
    """
    needed, free = chips * size * size * 3, shutil.disk_usage(cache).free
    if needed <= free:
        return
    stored = sum(file.stat().st_size for file in cache.glob("chips-*/*"))
    raise DiskFull(
        f"the decoded chips ({chips} at {size} px) need {megabytes(needed)} in {cache}, where "
        f"{megabytes(free)} are free; earlier stores there take {megabytes(stored)} and may be deleted while "
        f"no training runs (rm -r {cache}/chips-*): they are built again when needed"
    )
