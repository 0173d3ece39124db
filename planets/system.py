"""Services of the host: processor cores, disk space, files that appear whole, and lines for people."""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from planets.errors import PlanetsError

RESERVE = 200_000_000
"""Bytes that stay free for whatever else writes to the disk meanwhile."""

PROGRESS_SECONDS = 5.0
"""Least time between two progress lines, except for the last."""

Say = Callable[[str], None]
"""Receives a line for a person, as `print` does."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(PlanetsError):
    """The disk has less free space than the data needs; the message names both."""


def usable_cores() -> int:
    """Return the number of cores this process may use; all cores where the system has no affinity."""
    # macOS and Windows have no sched_getaffinity; Linux containers may bind a process to fewer cores.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """Return the number of threads for the work of this process: $OMP_NUM_THREADS, or one per usable core.

    Agents set the variable, so that steps side by side share the cores; torch and numba read it as well.
    """
    share = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(int(share), usable_cores()) if share.isdecimal() and int(share) else usable_cores()


def require_space(folder: Path, needed: int, purpose: str, remedy: str = "") -> None:
    """Check that the disk of `folder` has `needed` bytes free beside `RESERVE`.

    `remedy` is for folders other than the cache.

    Raises:
        DiskFull: it has not; the message begins with `purpose`, such as "the download".
    """
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise DiskFull(
            f"{purpose} needs {megabytes(needed + RESERVE)} on the disk of {folder}, "
            f"{megabytes(free)} are free; {remedy or _remedy(folder)}"
        )


@contextmanager
def reports_full_disk(folder: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" in the block into DiskFull, which names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise DiskFull(f"the disk of {folder} became full ({error.strerror}); {_remedy(folder)}") from error


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `file`, which replaces `file` when the block succeeds.

    Readers see the old file or the new one. If the block raises, the temporary file is deleted and `file`
    stays as it was.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def short_id(identifier: str) -> str:
    """Return the beginning of a ClearML id, by which a person tells tasks and runs apart."""
    return identifier[:8]


def megabytes(count: int) -> str:
    """Format bytes for a person: `1,600 MB`, `1.6 MB`, `16 kB`."""
    if count < 1e6:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:,.1f} MB"


def first_names(names: Sequence[str], shown: int = 5) -> str:
    """Join the first few names for a person, and count the others."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def chip_count(count: int) -> str:
    """Format a number of chips for a person: `1,600 chips`."""
    return f"{count:,} chips"


def clock(seconds: float) -> str:
    """Format a duration for a person: `1:07`, `2:01:07`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


class ProgressLines:
    """Progress lines of a long job: at most one in 5 seconds and one per percent, and one at its end.

    Lines instead of a bar, because a worker's console is stored and read later.
    """

    def __init__(
        self,
        activity: str,
        total: int | None,
        say: Say,
        unit: Callable[[int], str],
        done: int | None = 0,
    ) -> None:
        """Start the clock.

        Args:
            activity: beginning of each line.
            total: amount of work; None where it is unknown.
            say: receives the lines.
            unit: formats an amount, as `megabytes` and `chip_count` do.
            done: work of an earlier attempt; None if the first call tells.
        """
        self._activity, self._total, self._say, self._unit = activity, total, say, unit
        self._started = self._reported = time.monotonic()
        self._initial = done
        self._percent = -1

    def __call__(self, done: int) -> None:
        """Report that `done` is complete, the work of an earlier attempt included."""
        if self._initial is None:
            self._initial = done
        percent = 100 * done // self._total if self._total else self._percent + 1
        now = time.monotonic()
        if done != self._total and (now - self._reported < PROGRESS_SECONDS or percent <= self._percent):
            return
        self._reported, self._percent = now, percent
        speed = (done - self._initial) / max(now - self._started, 1e-3)
        amount = self._unit(done)
        if self._total:
            total = self._unit(self._total)
            amount = f"{amount.removesuffix(' ' + total.split()[-1])} of {total} ({percent} %)"
        rest = (self._total or done) - done
        left = f", {clock(rest / speed)} left" if rest and speed else ""
        self._say(f"{self._activity}: {amount}, {self._unit(int(speed))}/s{left}")


def _remedy(folder: Path) -> str:
    return (
        f"free some space, or move the cache to another disk (sdk.storage.cache.default_base_dir in "
        f"clearml.conf, PLANETS_STACK for the embedded server), and run again: {folder} keeps what it has"
    )
