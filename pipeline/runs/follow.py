"""Following a run in the terminal: the live table, the verdict, the files it leaves, and Ctrl-C."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.connection import Api
from pipeline.runs.live_table import clock, watch, why_table
from pipeline.runs.outcome import Outcome, gain_text, install_bundle, judge
from pipeline.runs.state import read_run
from pipeline.runs.stop import stop_run
from planets.system import atomic_write

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


def follow(api: Api, run_id: str, console: Console, output: Path) -> int:
    """Watch the run to its end, write its files to `output`, and return the exit code.

    Returns:
        0 if the run completed, 1 if it failed, 130 after Ctrl-C.
    """
    console.print(f"run     {read_run(api, run_id).address(api.web)}")
    with _interrupts() as interrupted:
        state = watch(api, run_id, console, interrupted)
    if interrupted.is_set():
        console.print("stopping the steps of this run ...")
        state = stop_run(api, run_id)
        console.print(f"to continue later: python -m pipeline resume {run_id}")
    outcome = judge(api, state)
    _write_report(outcome, api.host, output / "run.json")
    _print(outcome, api, console)
    _install(outcome, console, output / "best")
    if interrupted.is_set():
        return INTERRUPTED
    return 0 if outcome.status == "completed" else 1


def show(api: Api, run_id: str, console: Console) -> None:
    """Print the steps, scores and failures of a run, which may be in progress."""
    _print(judge(api, read_run(api, run_id)), api, console)


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Record Ctrl-C in an event; an exception could be lost inside the SDK."""
    interrupted = Event()
    before = signal.signal(signal.SIGINT, lambda _number, _frame: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _write_report(outcome: Outcome, server: str, path: Path) -> None:
    """Write run.json, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(outcome.document(server), indent=2) + "\n", encoding="utf-8")


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
    best = outcome.best
    for score in outcome.models:
        selected = best is not None and best.name == score.name
        comparison = best.comparisons.get(score.name) if best else None
        table.add_row(
            f"[bold green]{score.name} *[/bold green]" if selected else score.name,
            f"{score.valid_f2:.4f}",
            f"{score.test_f2:.4f}",
            gain_text(comparison["test"]) if comparison else "",
            clock(score.seconds),
        )
    constant = outcome.models[0].constant_f2
    table.add_row("[dim]best constant[/dim]", "", f"[dim]{constant:.4f}[/dim]", "", "")
    return table


def _install(outcome: Outcome, console: Console, folder: Path) -> None:
    """Replace `folder` by the selected model's bundle, if there is one, and print its source."""
    best = outcome.best
    if best is not None:
        install_bundle(best.evaluate_id, folder, best.comparisons)
        console.print(f"best    {best.name} (test_f2 {best.test_f2:.4f}), bundle in {folder}")
        console.print(f"model   {escape(best.publication['why'])}")
    elif folder.exists():
        console.print(f"best    this run selected no model; {folder} is still that of an earlier run")
    else:
        console.print("best    this run selected no model")
