"""Sees a run through in the terminal: the live table, the verdict, the files it leaves, and Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.api import Api
from pipeline.runs.epochs import clock
from pipeline.runs.install import install_bundle
from pipeline.runs.live_table import watch, why_table
from pipeline.runs.outcome import Outcome, judge, write
from pipeline.runs.state import read_run
from pipeline.runs.stop import stop_run
from planets.metrics.significance import format_p

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def follow(api: Api, run_id: str, console: Console, output: Path) -> int:
    """Watch the run to its end, write what it leaves, and return the exit code: 0, 1, 130 after Ctrl-C."""
    console.print(f"run     {read_run(api, run_id).address(api.web)}")
    with _interrupts() as interrupted:
        state = watch(api, run_id, console, interrupted)
    if interrupted.is_set():
        console.print("stopping the steps of this run ...")
        state = stop_run(api, run_id)
        console.print(f"to go on later: python -m pipeline resume {run_id}")
    outcome = judge(api, state)
    write(outcome, api.host, output / "run.json")
    _print(outcome, api, console)
    _install(outcome, console, output / "best")
    if interrupted.is_set():
        return INTERRUPTED
    return 0 if outcome.status == "completed" else 1


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Note Ctrl-C in an event: as an exception it could be lost in whatever the SDK does at the moment."""
    noted = Event()
    before = signal.signal(signal.SIGINT, lambda _number, _frame: noted.set())
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def show(api: Api, run_id: str, console: Console) -> None:
    """Print what is known of a run, over or not."""
    outcome = judge(api, read_run(api, run_id))
    _print(outcome, api, console)


def _print(outcome: Outcome, api: Api, console: Console) -> None:
    console.print(why_table(outcome.state))
    if outcome.models:
        console.print(_score_table(outcome))
    for failure in outcome.failures:
        console.print(f"[red]{failure.step.name} {failure.step.status}[/red]; the end of its log:")
        for line in failure.lines:
            console.print(f"    {escape(line)}")
        console.print(f"    {outcome.state.log_address(api.web, failure.step)}")
    console.print(f"run     {outcome.state.address(api.web)}")


def _score_table(outcome: Outcome) -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for heading in ("valid_f2", "test_f2", "best ahead on test", "training"):
        table.add_column(heading, justify="right")
    for score in outcome.models:
        chosen = outcome.best is not None and outcome.best.name == score.name
        name = f"[bold green]{score.name} *[/bold green]" if chosen else score.name
        better = _better(outcome, score.name)
        table.add_row(name, f"{score.valid_f2:.4f}", f"{score.test_f2:.4f}", better, clock(score.seconds))
    constant = outcome.models[0].constant_f2
    table.add_row("[dim]best constant[/dim]", "", f"[dim]{constant:.4f}[/dim]", "", "")
    return table


def _better(outcome: Outcome, name: str) -> str:
    """How much better the chosen model is than this one, and whether that is more than chance."""
    parts = outcome.best.comparisons.get(name) if outcome.best else None
    return f"{parts['test'].difference:+z.4f}, {format_p(parts['test'].p)}" if parts else ""


def _install(outcome: Outcome, console: Console, best: Path) -> None:
    """Replace `best` if the run selected a model; say what became of it in any case."""
    if outcome.best is not None:
        install_bundle(outcome.best.evaluate_id, best, outcome.best.documents())
        console.print(f"best    {outcome.best.name} (test_f2 {outcome.best.test_f2:.4f}), bundle in {best}")
        console.print(f"model   {escape(outcome.best.publication['why'])}")
    elif best.exists():
        console.print(f"best    this run selected no model; {best} is still that of an earlier run")
    else:
        console.print("best    this run selected no model")
