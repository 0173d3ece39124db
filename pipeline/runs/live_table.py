"""Step tables of a run: live in a terminal, plain lines elsewhere."""

from collections.abc import Iterable
from threading import Event

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.connection import Api
from pipeline.runs.state import RunState, Step, states

STYLES = {
    "pending": "dim",
    "queued": "yellow",
    "running": "bold cyan",
    "completed": "green",
    "cached": "blue",
    "failed": "bold red",
    "aborted": "magenta",
    "skipped": "dim",
}

PROGRESS_SCALARS = {"f2_at_0.2", "lr", "chips_per_second", "seconds"}
"""Scalars that a training reports after each epoch."""


def watch(api: Api, run_id: str, console: Console, interrupted: Event) -> RunState:
    """Show the run until it is over or `interrupted` is set; return its last state."""
    printed: dict[str, str] = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for state in states(api, run_id, interrupted):
            if console.is_terminal:
                live.update(step_table(state), refresh=True)
            else:
                _print_changes(state.steps, printed, console)
    return state


def step_table(state: RunState) -> Table:
    """Return the table of a run in progress: status, time, worker or queue, and progress of each step."""
    table = _table(state)
    table.add_column("where", max_width=24)
    table.add_column("progress")
    for step in state.steps:
        where = _one_line(step.worker or step.queue)
        table.add_row(step.name, _colored(step.status), clock(step.seconds), where, _one_line(progress(step)))
    return table


def why_table(state: RunState) -> Table:
    """Return the table of a run in retrospect: status, time, and why each step ran or did not."""
    table = _table(state)
    table.add_column("why", overflow="fold")
    for step in state.steps:
        table.add_row(step.name, _colored(step.status), clock(step.seconds), step.why)
    return table


def progress(step: Step) -> str:
    """Describe how far a training is, from the scalars of its last epoch; empty for any other step."""
    if step.task is None:
        return ""
    scalars = {metric: value for (metric, _), value in step.task.metrics.items()}
    planned = step.task.settings.get("epochs")
    # The scalars of an epoch may arrive in two batches.
    if not planned or not scalars.keys() >= PROGRESS_SCALARS:
        return ""
    epoch, epochs = step.task.iteration, int(planned)
    left = clock((epochs - epoch) * scalars["seconds"])
    return (
        f"epoch {epoch}/{epochs}  F2 {scalars['f2_at_0.2']:.3f}  lr {scalars['lr']:.0e}  "
        f"{scalars['chips_per_second']:.0f} chips/s{f'  {left} left' if left else ''}"
    )


def clock(seconds: float) -> str:
    """Format a duration as minutes and seconds, `1:07`; empty for 0."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}" if seconds else ""


def _table(state: RunState) -> Table:
    """Return a table with the columns that keep their width on a narrow terminal."""
    title = f"{state.task.name}  {state.status}  {clock(state.seconds)}"
    table = Table(title=title, title_justify="left")
    table.add_column("step", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time", no_wrap=True, justify="right")
    return table


def _one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _colored(status: str) -> Text:
    return Text(status, style=STYLES.get(status, ""))


def _print_changes(steps: Iterable[Step], printed: dict[str, str], console: Console) -> None:
    """Print a line for each step whose status changed, and note it in `printed`."""
    for step in steps:
        if step.status not in (printed.get(step.name), "pending"):
            printed[step.name] = step.status
            console.print(
                f"{step.name:28} {step.status:10} {clock(step.seconds):>6}  {step.worker}", highlight=False
            )
