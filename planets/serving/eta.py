"""How far a long piece of work is: how many a second, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from planets.serving.batch import Progress as Told

_SECONDS = 30
"""Between two lines where there is no terminal."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f} chips/s")


@contextmanager
def shown(console: Console, total: int, done: int) -> Iterator[Told]:
    """Show how the work goes on from `done` of `total`: a bar in a terminal, else a line now and then."""
    if not console.is_terminal:
        yield _lines(console, total, done)
        return
    columns = (BarColumn(), MofNCompleteColumn(), _Rate(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console, speed_estimate_period=60) as progress:
        task = progress.add_task("chips", total=total, completed=done)
        yield lambda count: progress.advance(task, count)


def _lines(console: Console, total: int, done: int) -> Told:
    began = told = time.monotonic()
    first = done

    def advance(count: int) -> None:
        nonlocal done, told
        done += count
        now = time.monotonic()
        if now - told >= _SECONDS or done == total:
            told = now
            rate = (done - first) / max(now - began, 1e-9)
            left = int((total - done) / rate)
            console.print(f"{done:,} of {total:,}  {rate:.0f} chips/s  left {left // 60}:{left % 60:02}")

    return advance
