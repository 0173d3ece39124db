"""Which stores of decoded chips go when a new one needs their room on the disk."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

UNUSED = 24 * 3600.0
"""Seconds after its last opening when a store may go."""


def make_room(cache: Path, needed: int) -> None:
    """Delete unused stores of `cache`, the longest unused first, until `needed` bytes are free."""
    with FileLock(cache / "eviction.lock"):  # two workers short of room would delete the same store
        for store in _unused(cache):
            if needed <= shutil.disk_usage(cache).free:
                return
            _delete(store)


def lock_of(store: Path) -> Path:
    """The file whose lock is held while a store is built, opened or deleted."""
    return store.with_suffix(".lock")


def _unused(cache: Path) -> list[Path]:
    opened = {store: store.stat().st_mtime for store in cache.glob("chips-*px")}
    long_ago = time.time() - UNUSED
    return sorted((store for store in opened if opened[store] < long_ago), key=opened.__getitem__)


def _delete(store: Path) -> None:
    """Delete a store unless it is being opened just now; who has it mapped keeps its pixels all the same."""
    with suppress(Timeout), FileLock(lock_of(store), timeout=0):
        going = store.rename(store.with_suffix(".part"))  # so that no half of a store is ever opened
        shutil.rmtree(going)
        print(f"{store.name} was not opened for a day: deleted for room", flush=True)
