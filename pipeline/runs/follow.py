"""A run in the terminal: its tables, live and in retrospect, the files that it leaves, and Ctrl-C."""

import json
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.connection import Api
from pipeline.errors import INTERRUPTED
from pipeline.runs.outcome import AHEAD, Outcome, gain_text, install_bundle, judge, keep_bundle
from pipeline.runs.state import RunState, Step, read_run, states
from pipeline.runs.stop import stop_run
from pipeline.workers import Watch, abandoned, failed_by_loss
from planets import system
from planets.commands import command
from planets.metrics.significance import smaller_equals
from planets.system import atomic_write, short_id

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


def follow(api: Api, run_id: str, console: Console, output: Path, worker_timeout: float) -> int:
    """Watch the run to its end, write its files to `output`, and return the exit code.

    A controller that no live worker executes and that is silent for `worker_timeout` seconds is marked as
    failed, and with it ends the run.

    Returns:
        0 if the run completed, 1 if it failed, 130 after Ctrl-C.
    """
    console.print(f"run     {read_run(api, run_id).address(api.web)}")
    with api.interrupts(signal.SIGINT) as interrupted, suppress(KeyboardInterrupt):
        state = _watch(api, run_id, console, interrupted, worker_timeout)
    if interrupted.is_set():
        if not api.answers():
            console.print(
                f"the server does not answer, so the run was not stopped; see `{command('status')}` later"
            )
            return INTERRUPTED
        console.print("stopping the steps of this run ...")
        state = stop_run(api, run_id)
        console.print(f"to continue later: {_resume(run_id)}")
    code = conclude(api, state, console, output)
    return INTERRUPTED if interrupted.is_set() else code


def conclude(api: Api, state: RunState, console: Console, output: Path) -> int:
    """Print the outcome of a run that is over, and write its files to `output`.

    Returns:
        The exit code: 0 if the run completed, 1 if it failed.
    """
    outcome = judge(api, state)
    _write_report(outcome, api.host, output / "run.json")
    _print(outcome, api, console)
    if failed_by_loss(state.task):
        console.print(f"to continue: {_resume(state.id)}")
    _install(outcome, console, output)
    return 0 if outcome.status == "completed" else 1


def _resume(run_id: str) -> str:
    return command("resume", short_id(run_id))


def show(api: Api, run_id: str, console: Console) -> None:
    """Print the steps, scores and failures of a run, which may be in progress."""
    state = read_run(api, run_id)
    _print(judge(api, state), api, console)
    if abandoned(api, [state.task]):
        console.print(f"no live worker executes this run; to continue it: {_resume(run_id)}")


def _watch(api: Api, run_id: str, console: Console, interrupted: Event, worker_timeout: float) -> RunState:
    """Show the run until it is over or `interrupted` is set; return its last state."""
    printed: dict[str, str] = {}
    controllers = Watch(api, worker_timeout)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for state in states(api, run_id, interrupted):
            if controllers.due():
                controllers.fail_lost([state.task])
            if console.is_terminal:
                live.update(_step_table(state), refresh=True)
            else:
                _print_changes(state.steps, printed, console)
    return state


def _step_table(state: RunState) -> Table:
    """Return the table of a run in progress: status, time, worker or queue, and progress of each step."""
    table = _table(state)
    table.add_column("where", max_width=24)
    table.add_column("progress")
    for step in state.steps:
        where = _one_line(step.worker or step.queue)
        table.add_row(step.name, _colored(step.status), clock(step.seconds), where, _one_line(progress(step)))
    return table


def _why_table(state: RunState) -> Table:
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
    """Format a duration, `1:07`; empty for 0, a step that has not started."""
    return system.clock(seconds) if seconds else ""


def _write_report(outcome: Outcome, server: str, path: Path) -> None:
    """Write run.json, whole or not at all, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(outcome.document(server), indent=2) + "\n", encoding="utf-8")


def _print(outcome: Outcome, api: Api, console: Console) -> None:
    console.print(_why_table(outcome.state))
    if outcome.models:
        console.print(_score_table(outcome))
    for failure in outcome.failures:
        console.print(f"[red]{escape(str(failure))}[/red]")
        for line in failure.lines:
            console.print(f"    {escape(line)}")
        console.print(f"    {outcome.state.log_address(api.web, failure.step)}")
    console.print(f"run     {outcome.state.address(api.web)}")


def _score_table(outcome: Outcome) -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for heading in ("valid_f2", "test_f2", AHEAD, "training"):
        table.add_column(heading, justify="right")
    best = outcome.best
    table.caption = smaller_equals(best.name, best.comparisons) if best else None
    for score in outcome.models:
        selected = best is not None and best.name == score.name
        comparison = best.comparisons.get(score.name) if best else None
        table.add_row(
            f"[bold green]{score.name} *[/bold green]" if selected else score.name,
            f"{score.valid_f2:.4f}",
            f"{score.test_f2:.4f}",
            gain_text(comparison.valid) if comparison else "",
            clock(score.seconds),
        )
    constant = outcome.models[0].constant_f2
    table.add_row("[dim]best constant[/dim]", "", f"[dim]{constant:.4f}[/dim]", "", "")
    return table


def _install(outcome: Outcome, console: Console, output: Path) -> None:
    """Make `output/best` the bundle of the published model, and print where the bundles are.

    A best model of the run that was not published goes to `output/runs/<id>`.
    """
    best, folder = outcome.best, output / "best"
    if best is None:
        there = f"; {folder} is still that of an earlier run" if folder.exists() else ""
        console.print(f"best    this run selected no model{there}")
    elif best.is_published:
        install_bundle(best.evaluate_id, folder, best.comparisons)
        console.print(f"best    {best.name} (test_f2 {best.test_f2:.4f}), bundle in {folder}")
    else:
        own = output / "runs" / short_id(outcome.state.id)
        install_bundle(best.evaluate_id, own, best.comparisons)
        # Runs of earlier versions do not name it.
        if rival_id := best.publication.get("rival_evaluate_id"):
            keep_bundle(rival_id, folder)
        console.print(f"here    {best.name} (test_f2 {best.test_f2:.4f}), bundle in {own}")
        rival, run_id = best.publication["rival"], short_id(best.publication["rival_run_id"])
        console.print(f"best    {rival} of run {run_id}, bundle in {folder}")
    if best is not None:
        console.print(f"model   {escape(best.publication['why'])}")


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
    """Print a line for each step whose status or epoch changed, and note it in `printed`."""
    for step in steps:
        done = progress(step)
        line = f"{step.name:28} {step.status:10} {clock(step.seconds):>6}  {step.worker}  {done}".rstrip()
        change = f"{step.status} {done}"
        if change != printed.get(step.name) and step.status != "pending":
            printed[step.name] = change
            console.print(line, highlight=False)
