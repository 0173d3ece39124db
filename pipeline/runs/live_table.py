"""The live step table in the terminal, and the plain lines where there is no terminal."""

from collections.abc import Iterable
from threading import Event

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.api import Api
from pipeline.runs.epochs import clock
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


def watch(api: Api, run_id: str, console: Console, interrupted: Event) -> RunState:
    """Show the run until it is over, or until `interrupted` is set; return its last state."""
    shown: dict[str, str] = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for state in states(api, run_id):
            if console.is_terminal:
                live.update(step_table(state), refresh=True)
            else:
                _print_changes(state.steps, shown, console)
            if interrupted.is_set():
                break
    return state


def step_table(state: RunState) -> Table:
    """One row a step: state, where it is (its queue, or its worker), time at work, how far a training is."""
    table = _table(state)
    table.add_column("where", max_width=24)
    table.add_column("progress")
    for step in state.steps:
        where, progress = _one_line(step.worker or step.queue), _one_line(step.progress)
        table.add_row(step.name, _colored(step.status), clock(step.seconds), where, progress)
    return table


def why_table(state: RunState) -> Table:
    """The step table of a run that is looked at afterwards: why each step ran, in place of its queue."""
    table = _table(state)
    table.add_column("why", overflow="fold")
    for step in state.steps:
        table.add_row(step.name, _colored(step.status), clock(step.seconds), step.why)
    return table


def _table(state: RunState) -> Table:
    """A table of steps; on a narrow terminal only what comes after these first columns gives way."""
    table = Table(title=f"{state.name}  {state.status}  {clock(state.seconds)}", title_justify="left")
    table.add_column("step", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time", no_wrap=True, justify="right")
    return table


def _one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _colored(status: str) -> Text:
    return Text(status, style=STYLES.get(status, ""))


def _print_changes(steps: Iterable[Step], shown: dict[str, str], console: Console) -> None:
    for step in steps:
        if step.status not in (shown.get(step.name), "pending"):
            shown[step.name] = step.status
            console.print(
                f"{step.name:28} {step.status:10} {clock(step.seconds):>6}  {step.worker}", highlight=False
            )
