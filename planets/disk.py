"""Room on a disk: asked for before it is used, and told as what it is when it runs out all the same."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planets.errors import DiskFull

RESERVE = 200_000_000
"""Bytes that stay free, for what else this host writes meanwhile."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def require_room(folder: Path, needed: int, what: str) -> None:
    """See that `needed` bytes fit on the disk of `folder`, and `RESERVE` beside them.

    Raises:
        DiskFull: they do not; `what` says in the message what they are for.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise DiskFull(
            f"{what} needs {megabytes(needed + RESERVE)} on the disk of {folder}, "
            f"{megabytes(free)} are free; {_remedy(folder)}"
        )


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Raise DiskFull, naming `folder`, when a write in the block finds no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(f"the disk of {folder} became full ({error.strerror}); {_remedy(folder)}") from error


def megabytes(count: int) -> str:
    """Bytes for a person: `1,600 MB`, `1.6 MB`, `16 kB`."""
    if count < 1e6:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:,.1f} MB"


def _remedy(folder: Path) -> str:
    return (
        f"free it, or let the cache lie on another disk (sdk.storage.cache.default_base_dir in clearml.conf, "
        f"PLANETS_STACK for the embedded server), and run again: what is in {folder} already is kept"
    )
